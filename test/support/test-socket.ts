import { once } from 'node:events'
import { onTestFinished } from 'vitest'
import { WebSocket, type ClientOptions } from 'ws'
import { createInbox } from './inbox.js'

type Of<M, T> = Extract<M, { type: T }>

/** A raw socket to the service: it says what the test says, and remembers what comes. */
export interface TestSocket<M extends { type: string }> {
  socket: WebSocket
  /** Every message that has come and was not taken by `next`, in order. */
  inbox: M[]
  /** Every frame as it came. */
  frames: string[]
  /** Sends one frame: a message, or an array of them. */
  say(message: unknown): void
  /** The next message of this type, with these fields; others stay in the inbox. */
  next<T extends M['type']>(type: T, where?: Partial<Of<M, T>>): Promise<Of<M, T>>
  closed: Promise<{ code: number; reason: string }>
  close(code?: number): void
}

/** Opens a socket and says nothing; it is gone when the test has ended. */
export async function openSocket<M extends { type: string }>(
  url: string,
  protocols: string[],
  options: ClientOptions = {},
): Promise<TestSocket<M>> {
  const socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options })
  const messages = createInbox<M>()
  const frames: string[] = []
  socket.on('message', (content: Buffer) => {
    frames.push(content.toString())
    for (const message of [JSON.parse(content.toString()) as M | M[]].flat() as M[]) messages.put(message)
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.on('close', (code, reason) => {
      messages.end(`the session ended with ${code}`)
      resolve({ code, reason: reason.toString() })
    }),
  )
  socket.on('error', () => undefined) // 'close' says the rest
  onTestFinished(() => socket.terminate())
  await Promise.race([once(socket, 'open'), closed])
  return {
    socket,
    inbox: messages.unread,
    frames,
    say: (message) => socket.send(JSON.stringify(message)),
    next: <T extends M['type']>(type: T, where: Partial<Of<M, T>> = {}) =>
      messages.take(
        (m): m is Of<M, T> => m.type === type && Object.entries(where).every(([k, v]) => Reflect.get(m, k) === v),
        `${type} ${JSON.stringify(where)}`,
      ),
    closed,
    close: (code = 1000) => socket.close(code),
  }
}
