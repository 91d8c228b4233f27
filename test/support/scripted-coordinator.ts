import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import { helloText, verifySignature } from '../../src/wire/keys.js'
import {
  NODE_PROTOCOL,
  parseNodeMessage,
  splitFrame,
  type Assignment,
  type Hello,
  type NodeMessage,
  type ServerMessage,
} from '../../src/wire/node.js'
import { createInbox } from './inbox.js'

export type ScriptedSession = Awaited<ReturnType<Awaited<ReturnType<typeof startCoordinator>>['next']>>
type OfType<T, K> = Extract<T, { type: K }>

/** A scripted coordinator: it checks what the node says against the wire's schemas, and says only what the test tells it. */
export async function startCoordinator({ port = 0, challenge = true }: { port?: number; challenge?: boolean } = {}) {
  const server = new WebSocketServer({
    port,
    host: '127.0.0.1',
    handleProtocols: (offered) => (offered.has(NODE_PROTOCOL) ? NODE_PROTOCOL : false),
  })
  await once(server, 'listening')
  const address = server.address() as AddressInfo
  const sessions = createInbox<ReturnType<typeof open>>()

  const open = (socket: WebSocket, host: string) => {
    const nonce = randomBytes(32).toString('hex')
    const inbox = createInbox<NodeMessage>()
    /** How many messages each frame held. */
    const frames: number[] = []
    const frameBytes: number[] = []
    const send = (message: ServerMessage | ServerMessage[]): void => socket.send(JSON.stringify(message))
    const closed = new Promise<number>((resolve) => socket.once('close', resolve))
    socket.on('message', (content: Buffer) => {
      const frame = splitFrame(content.toString())
      if (!frame.ok) throw new Error(`the node sent something else: ${frame.problem}`)
      const { values } = frame
      frames.push(values.length)
      frameBytes.push(content.length)
      for (const value of values) {
        const parsed = parseNodeMessage(value)
        if (!parsed.ok) throw new Error(`the node sent ${parsed.problem}: ${JSON.stringify(value).slice(0, 200)}`)
        inbox.put(parsed.message)
      }
    })
    if (challenge) send({ type: 'session.challenge', protocol: 1, nonce, server_time: 1 })
    const expectMessage = <K extends NodeMessage['type']>(type: K): Promise<OfType<NodeMessage, K>> =>
      inbox.take((m): m is OfType<NodeMessage, K> => m.type === type)
    return {
      host,
      socket,
      frames,
      frameBytes,
      closed,
      all: inbox.all,
      send,
      raw: (frame: string | Buffer) => socket.send(frame),
      expect: expectMessage,
      /** Waits for the hello and checks its signature. */
      async hello(): Promise<Hello> {
        const hello = await expectMessage('session.hello')
        expect(verifySignature(hello.public_key, helloText(hello.node_id, host, nonce), hello.signature)).toBe(true)
        return hello
      },
      welcome(given: Partial<OfType<ServerMessage, 'session.welcome'>> = {}): void {
        send({
          type: 'session.welcome',
          session_id: 's',
          heartbeat_interval: 15,
          accept_timeout: 5,
          reconnect_grace: 15,
          max_message_bytes: 4 * 1024 * 1024,
          resumed: [],
          dropped: [],
          ...given,
        })
      },
      assign(given: Partial<Assignment> = {}): void {
        send(assignment(given))
      },
      settle({ task_id, attempt }: { task_id: string; attempt: number }, status = 'completed'): void {
        send({ type: 'task.settled', task_id, attempt, status })
      },
      close: (code: number, reason = '') => socket.close(code, reason),
    }
  }
  server.on('connection', (socket, request) => sessions.put(open(socket, request.headers.host ?? '')))
  const stop = async (): Promise<void> => {
    for (const client of server.clients) client.terminate()
    await new Promise((resolve) => server.close(resolve))
  }
  onTestFinished(stop)
  const next = () => sessions.take((s): s is ReturnType<typeof open> => s !== undefined)
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    sessions: sessions.all,
    stop,
    /** The next session that was opened. */
    next,
    /** The next session, welcomed. */
    async welcomed(given: Partial<OfType<ServerMessage, 'session.welcome'>> = {}) {
      const session = await next()
      const hello = await session.hello()
      session.welcome(given)
      return { ...session, greeting: hello }
    },
  }
}

export const assignment = (given: Partial<Assignment> = {}): Assignment => ({
  type: 'task.assign',
  task_id: 't1',
  attempt: 1,
  model_name: 'llama-3-8b',
  model_type: 'llama',
  user_input: 'hello there',
  context: '',
  max_infer_time: 60,
  infer_fee: 5,
  lease_expires_at: 1000,
  signed_tx: null,
  stream: false,
  ...given,
})
