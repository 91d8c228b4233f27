import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { AddressKeys } from '../lib/address.js'
import type { TimeSource } from '../lib/clock.js'
import { helloText, normalizeKey, verifySignature } from '../wire/keys.js'
import type { Proof } from '../wire/node.js'
import type { Guard } from './guard.js'
import type { HandshakeThrottle } from './handshake-throttle.js'
import type { Rivals } from './rivals.js'
import type { Unsent } from './unsent.js'

/** How long a node may take to say hello, ms. */
export const HELLO_TIMEOUT_MS = 10_000

/** What all node sessions have in common. */
export interface NodeDoor {
  send: Scheduler['send']
  time: TimeSource
  maxMessageBytes: number
  maxMessagesPerSecond: number
  /** Verifies signatures a few at a time. */
  throttle: HandshakeThrottle
  /** The sessions that are open. */
  rivals: Rivals
  unsent: Unsent
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
  /** Its hello has come. */
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
  /** Frames that came after a hello that waits to be verified, in order; null before the hello. */
  pending: Pending | null
  /** Gives up waiting for what becomes of an older session of its node. */
  stopWaiting: () => void
}
export interface Pending {
  /** The rest of its own frame. */
  values: unknown[]
  frames: { data: Buffer; isBinary: boolean }[]
}

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
        problem: `signature: is not by this key over inference-node.v1:<node_id>:<host>:<nonce> with host ${hosts.join(' or ')}`,
      }
}
