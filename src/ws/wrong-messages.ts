import type { AddressKeys } from '../lib/address.js'
import { createAddressRate } from '../lib/rate.js'
import type { ClientAnswer } from '../wire/client-answers.js'
import type { ServerMessage } from '../wire/node.js'

/**
 * An honest node is wrong about attempts that have ended meanwhile. The largest has 1,024, all of which may end at once, with
 * messages of each on their way: so many of them may come at once.
 */
const BURST = 8 * 1024
const PER_SECOND = 100
/** An address may have so many nodes that are wrong at once. */
const NODES_OF_ADDRESS = 4

/** Whether one more wrong message of this node, from this address, is within the rate. */
export type WrongMessages = (nodeId: string, from: AddressKeys) => boolean

/**
 * How many messages a node may send that fit the protocol and are wrong all the same: each costs the core a look, and a little
 * of each turn that honest nodes share. Counted over all sessions of a node, for a new one is opened quickly.
 * @param now ms, monotonic
 */
export function createWrongMessages(now: () => number): WrongMessages {
  const byNode = createAddressRate(PER_SECOND, now, BURST)
  const byAddress = createAddressRate(PER_SECOND * NODES_OF_ADDRESS, now, BURST * NODES_OF_ADDRESS)
  return (nodeId, from) => byNode([{ key: nodeId, times: 1 }]) && byAddress(from)
}

/** Whether this says that a message was wrong, and not that the service failed. */
export const saysWrong = (answer: ServerMessage | ClientAnswer): boolean =>
  answer.type === 'error' &&
  (answer.code === 'not_holder' || answer.code === 'stale_attempt' || answer.code === 'invalid_message')
