import type { NodeMessage } from '../wire/node.js'
import type { Address } from './address.js'
import { createDialling } from './dialling.js'
import { encode } from './frames.js'
import { createReconnects } from './reconnect.js'
import type { Channel } from './results.js'
import { DEFAULT_MAX_MESSAGE_BYTES, openSession, type Session, type SessionEnd, type SessionParts } from './session.js'
import { pause } from '../lib/timer.js'

export interface ConnectionParts extends Omit<SessionParts, 'onEnd' | 'address'> {
  /** Of the coordinators that stand for each other, in the order in which they are dialled. */
  addresses: readonly [Address, ...Address[]]
  /** Ends the loop and every wait in it. */
  halted: AbortSignal
  random: () => number
  /** A session has ended. False: no other is to follow. */
  onEnd(): boolean
  /**
   * @param wait ms until the next session; null when there will be none
   * @param isRenewal the node itself has ended it, to say a new hello
   */
  onDisconnected(end: SessionEnd, wait: number | null, isRenewal: boolean): void
}

export interface Connection {
  /** The session of the moment. */
  readonly channel: Channel
  say(message: NodeMessage): void
  close(code: 1000 | 1001, reason: string): void
  /**
   * Says a new hello, for what has changed of what a hello says: closes the session so that what runs stays this node's, and
   * opens the next at once. Does nothing while there is none.
   */
  renew(reason: string): void
  /** Holds one session after the other. Resolves with why no other may follow, or with null when none was wanted. */
  run(): Promise<string | null>
}

/** How a session ends that the node itself has closed: as it asked, or cut off where no answer came. */
const OWN_CLOSE_CODES = [1001, 1006]

/** The connection to a coordinator: a session, and after its end the next, as the table of close codes says. */
export function createConnection(parts: ConnectionParts): Connection {
  const { halted } = parts
  const dialling = createDialling(parts.addresses)
  const reconnects = createReconnects(parts.random)
  let session: Session | null = null
  let renewal: string | null = null
  let maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES

  const hold = (): Promise<SessionEnd> =>
    new Promise((resolve) => {
      session = openSession({
        ...parts,
        address: dialling.address(),
        onWelcome(welcome) {
          dialling.welcomed()
          maxMessageBytes = welcome.max_message_bytes
          reconnects.welcomed(welcome.heartbeat_interval)
          parts.onWelcome(welcome)
        },
        onMessage(message) {
          parts.onMessage(message)
          if (message.type === 'session.drain' && dialling.leadsAway(message.reconnect_to))
            session?.close(1001, 'the coordinator has named another one')
        },
        onEnd(end) {
          session = null
          resolve(end)
        },
      })
    })

  const channel: Channel = {
    isOpen: () => session?.welcomed === true,
    maxMessageBytes: () => maxMessageBytes,
    buffered: () => session?.buffered() ?? 0,
    send: (message) => session?.send(message),
  }
  return {
    channel,
    say: (message) => channel.send(encode(message)),
    close: (code, reason) => session?.close(code, reason),
    renew(reason) {
      if (session?.welcomed !== true) return
      renewal = reason
      session.close(1001, reason)
    },
    async run() {
      while (!halted.aborted) {
        const end = await hold()
        if (!parts.onEnd() || halted.aborted) return null
        const why = OWN_CLOSE_CODES.includes(end.code) && end.reconnectAfter === null ? renewal : null
        renewal = null
        const plan = reconnects.after(end, why !== null, dialling.next(end))
        const told = why === null ? end : { ...end, reason: why }
        parts.onDisconnected(told, 'stop' in plan ? null : plan.wait, why !== null)
        if ('stop' in plan) return plan.stop
        await pause(plan.wait, halted)
      }
      return null
    },
  }
}
