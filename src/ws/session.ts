import type { Comeback } from '../core/operations.js'
import type { ClientAnswer } from '../wire/client-answers.js'
import type { ServerMessage } from '../wire/node.js'
import type { Outgoing } from './socket-writer.js'

/** A session that has sent more wrong messages than this is closed. */
export const MAX_MISTAKES = 10
/** A frame counts as one message more for each of so many bytes. */
export const BYTES_A_MESSAGE = 4096

/** A session as the server of all of them sees it, whoever is on the other side. */
export interface SocketSession extends Outgoing<ServerMessage | ClientAnswer> {
  /** Whether its hello has not come yet. */
  readonly inHandshake: boolean
  /** The largest message that it may send now, in bytes. */
  readonly maxIncoming: number
  /** Whether nothing is read of it now. */
  readonly isPaused: boolean
  /** So many bytes have come of it. */
  received(bytes: number): void
  /** The service stops: tells the other side, unless the core does. */
  drain(comeback: Comeback): void
  /** Looks whether the other side is still there, where it sends no heartbeat. */
  check(): void
}
