import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { Server as HttpsServer } from 'node:https'
import { createServer, type Server as NetServer } from 'node:net'
import type { Logger } from '../lib/log.js'

/** How many handles a crowded server has beside its own: so many connections more are taken in a turn of the event loop. */
const MORE_HANDLES = 31
/** A server is crowded when a connection has waited in each turn for so long, ms, and for so many turns. */
const CROWDED_MS = 50
const CROWDED_TURNS = 4
/** When more handles could not be had, they are asked for again after this, ms. */
const AGAIN_AFTER_MS = 60_000
/** The handles come within this, ms, or not at all. */
const PATIENCE_MS = 30_000

/** Sends the handle that it is sent back so many times. Its listener keeps it alive until the channel is closed. */
const HELPER = "process.on('message', (times, handle) => { for (let i = 0; i < times; i++) process.send(0, handle) })"

/** How many connections a server takes in a turn. */
export interface Acceptors {
  /** Takes nothing more. Resolves when the connections that came over its handles have ended. */
  close(): Promise<void>
}

export interface AcceptorsParts {
  server: Server
  /** Of the server's own listen(): each handle that listens sets it anew for all. */
  backlog: number
  log: Pick<Logger, 'info' | 'warn'>
}

/**
 * Lets a server take many connections in a turn of the event loop where many wait.
 *
 * libuv takes one in each turn (1.45 and later, libuv#3696; measured with Node 20, 22, 24 and 26: 200 that wait need 200 turns). Who
 * only dials so keeps others waiting for as many turns as he has dialled, and turns are longest under load. Each further handle
 * of the same listening socket takes one more. Node cannot duplicate a handle, but one that is sent to another process and back
 * is a new one: a helper does that, and ends. It takes about 0.1 s, so it is done only when there is a crowd, and once. On
 * Windows libuv takes many at once.
 */
export function createAcceptors({ server, backlog, log }: AcceptorsParts): Acceptors {
  const more: NetServer[] = []
  let state: 'watching' | 'asked' | 'closed' = process.platform === 'win32' ? 'closed' : 'watching'
  const ending = new AbortController()

  const add = (handle: object): void => {
    // As the server itself makes its sockets.
    const options = server instanceof HttpsServer ? { noDelay: true } : { allowHalfOpen: true, noDelay: true }
    const acceptor = createServer(options, (socket) => server.emit('connection', socket))
    acceptor.on('error', (error) => server.emit('error', error))
    acceptor.listen(handle, backlog)
    more.push(acceptor)
    if (state === 'closed') acceptor.close()
  }
  const failed = (why: string): void => {
    log.warn(
      { event: 'connections.crowded', handles: more.length + 1, why },
      'many connections wait, and the helper that lets the service take more of them at once has failed',
    )
    setTimeout(() => {
      if (state === 'asked') state = 'watching'
    }, AGAIN_AFTER_MS).unref()
  }
  const ask = async (): Promise<void> => {
    state = 'asked'
    try {
      await copies(server, MORE_HANDLES - more.length, add, ending.signal)
      log.info(
        { event: 'connections.crowded', handles: more.length + 1 },
        'many connections wait: more are taken at once',
      )
    } catch (error) {
      if (!ending.signal.aborted) failed(error instanceof Error ? error.message : String(error))
    }
  }

  let arrived = false
  let looking = false
  let turns = 0
  let since = 0
  /** At the end of each turn for as long as a connection comes in each. */
  const look = (): void => {
    looking = arrived && state === 'watching'
    if (!looking) return
    arrived = false
    turns++
    if (turns >= CROWDED_TURNS && performance.now() - since >= CROWDED_MS) void ask()
    setImmediate(look)
  }
  server.on('connection', () => {
    arrived = true
    if (looking || state !== 'watching') return
    looking = true
    turns = 0
    since = performance.now()
    setImmediate(look)
  })

  return {
    async close() {
      state = 'closed'
      ending.abort()
      await Promise.all(
        more.map(async (acceptor) => {
          const closed = once(acceptor, 'close')
          acceptor.close()
          await closed
        }),
      )
    },
  }
}

/** Gives `count` further handles of the listening socket of a server to `take`, one by one. Rejects when not all have come. */
async function copies(
  server: Server,
  count: number,
  take: (handle: object) => void,
  signal: AbortSignal,
): Promise<void> {
  // What the helper inherits could make it do more than this.
  const helper = spawn(process.execPath, ['-e', HELPER], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: {},
    killSignal: 'SIGKILL',
    signal,
  })
  // Not spawn's own timeout: Node 26 keeps its timer, and with it the process, when the signal has ended the helper.
  const late = setTimeout(() => helper.kill('SIGKILL'), PATIENCE_MS).unref()
  helper.once('exit', () => clearTimeout(late))
  let left = count
  await new Promise<void>((resolve, reject) => {
    helper.once('error', reject)
    helper.once('exit', (code, by) =>
      reject(new Error(`it ended with ${by ?? code}, and ${left} of ${count} had not come`)),
    )
    helper.on('message', (_, handle?: unknown) => {
      if (typeof handle !== 'object' || handle === null) return
      take(handle)
      if (--left > 0) return
      helper.disconnect()
      resolve()
    })
    // Sent as a server, it would listen in the helper too, and take connections that nobody serves. That servers have a handle,
    // and that it can be sent, is older than the types of it.
    const handle = Reflect.get(server, '_handle') as Server
    helper.send(count, handle, (error) => {
      if (error !== null) reject(error)
    })
  })
}
