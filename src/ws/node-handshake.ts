import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { AddressKeys } from '../lib/address.js'
import type { Budget } from '../lib/budget.js'
import type { TimeSource } from '../lib/clock.js'
import { helloText, normalizeKey, verifySignature } from '../wire/keys.js'
import type { Proof } from '../wire/node.js'
import type { TimeShares } from '../lib/time-shares.js'
import type { Guard } from './guard.js'
import type { HandshakeThrottle } from './handshake-throttle.js'
import type { Rivals } from './rivals.js'
import type { Unsent } from './unsent.js'
import type { WrongMessages } from './wrong-messages.js'

/** How long a node may take to say hello, ms. */
export const HELLO_TIMEOUT_MS = 10_000
/** A larger first frame counts as being received until the handshake is over, in bytes. What is smaller is not more than a chunk. */
const COUNTED_FROM_BYTES = 64 * 1024

/** What all node sessions have in common. */
export interface NodeDoor {
  send: Scheduler['send']
  time: TimeSource
  maxMessageBytes: number
  maxMessagesPerSecond: number
  /** Reads hellos and verifies their signatures, a few at a time. */
  throttle: HandshakeThrottle
  /** Bytes of messages that are not whole yet, or not read. */
  receiving: Budget
  /** The sessions that are open. */
  rivals: Rivals
  unsent: Unsent
  shares: TimeShares
  wrongMessages: WrongMessages
  guard: Guard
}

export interface NodeSessionParts {
  id: number
  socket: WebSocket
  /** What it writes to. */
  raw: Duplex
  /** The hosts a hello may be signed for. */
  hosts: readonly string[]
  /** Where it comes from. */
  address: string | null
  /** Who its address counts as. */
  from: AddressKeys
  /** Its first frame has come. */
  onHeard(): void
  /** Its hello was verified. */
  onProven(): void
  onClose(): void
}

/** What is needed until the hello is verified, and let go then. */
export interface Handshake {
  hosts: readonly string[]
  address: string | null
  from: AddressKeys
  nonce: string
  onHeard(): void
  onProven(): void
  timeout: NodeJS.Timeout
  /** What has come; null before the first frame. */
  pending: Pending | null
  /** Gives up waiting for what becomes of an older session of its node. */
  stopWaiting: () => void
}
/** The first frame, and what came behind it. */
export interface Pending {
  /** Until it has its turn. */
  first: Buffer | null
  /** What it counts as among what is being received, in bytes. */
  counted: number
  /** What the first frame holds besides the hello. */
  values: readonly unknown[]
  /** Frames that came after it, in order. */
  frames: { data: Buffer; isBinary: boolean }[]
}

export const createHandshake = (
  { hosts, address, from, onHeard, onProven }: NodeSessionParts,
  nonce: string,
  timeout: NodeJS.Timeout,
): Handshake => ({
  hosts,
  address,
  from,
  nonce,
  onHeard,
  onProven,
  timeout,
  pending: null,
  stopWaiting: () => undefined,
})

export const createPending = (first: Buffer): Pending => ({
  first,
  counted: first.length > COUNTED_FROM_BYTES ? first.length : 0,
  values: [],
  frames: [],
})

/** The key that a hello proves, normalized, or why it proves none. */
export function verifyProof(
  { hosts, nonce }: Pick<Handshake, 'hosts' | 'nonce'>,
  hello: Proof,
): { key: string } | { problem: string } {
  const key = normalizeKey(hello.public_key)
  if (key === null) return { problem: 'public_key: must be a secp256k1 public key, 33 bytes compressed, in hex' }
  return hosts.some((host) => verifySignature(key, helloText(hello.node_id, host, nonce), hello.signature))
    ? { key }
    : {
        // A close has room for 123 bytes: what to do comes first.
        problem: `signature: is not by this key for host ${hosts.join(' or ')}: dial it so, or add yours to public_hosts; signed is inference-node.v1:<node_id>:<host>:<nonce>`,
      }
}

/** Why a second node with the id and the key of one that is alive is not let in. */
export const secondOf = (nodeId: string): { message: string; reason: string } => ({
  message: `node_id: ${nodeId} has a session, and it is alive; stop that node, or start this one with --take-over ("take_over": true in its hello)`,
  reason: 'another node with this node_id and key is alive; stop that one, or start with --take-over',
})

/** What a session says while it is alive, a pong at least. */
const SIGNS_OF_LIFE = ['message', 'ping', 'pong'] as const

/** Asks for a sign of life, and calls back at each. @returns what ends that */
export function onSignOfLife(socket: WebSocket, heard: () => void): () => void {
  for (const sign of SIGNS_OF_LIFE) socket.on(sign, heard)
  socket.ping()
  return () => {
    for (const sign of SIGNS_OF_LIFE) socket.off(sign, heard)
  }
}

/** A hello may have come while the event loop was busy: timers are run before what has arrived is read. */
export function lateHello(session: { late(): void }): void {
  setImmediate(() => session.late())
}
