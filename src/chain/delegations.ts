import { done, refuse, type Outcome } from '../lib/result.js'
import type { Delegation } from '../wire/delegation.js'
import { lowS, normalizeKey, parseCompact, readKey, signInPool, verifyInPool } from '../wire/keys.js'
import { addressOf, type Network } from './address.js'
import { privateKeyObject, publicKeyOf } from './private-key.js'

/** What the owner of an address signs, to let what a node does be paid there. @param nodeKey normalized */
export const delegationText = (network: Network, nodeKey: string, address: string): string =>
  `stacks-inference-payee.v1:${network}:${nodeKey}:${address}`

/**
 * Signs for the address of a private key.
 * @param privateKey 32 bytes in hex, or 33 with a trailing 01, which is another address
 * @param nodeKey normalized
 */
export async function signDelegation(privateKey: string, nodeKey: string, network: Network): Promise<Delegation> {
  const key = publicKeyOf(privateKey)
  const address = addressOf(key, network)
  const signature = await signInPool(privateKeyObject(privateKey), delegationText(network, nodeKey, address))
  return { node_key: nodeKey, address, public_key: key.given, signature }
}

/** The delegation as it is kept, when the owner of its address has signed it for this network. */
export async function verifyDelegation(given: Delegation, network: Network): Promise<Outcome<Delegation>> {
  const no = (problem: string): Outcome<never> => refuse('invalid_request', problem)
  const nodeKey = normalizeKey(given.node_key)
  if (nodeKey === null) return no('node_key: must be a secp256k1 public key, 33 or 65 bytes in hex')
  const key = readKey(given.public_key)
  if (key === null) return no('public_key: must be a secp256k1 public key, 33 or 65 bytes in hex')
  const own = addressOf(key, network)
  if (own !== given.address)
    return no(`public_key: its address on ${network} is ${own}, not ${given.address}; sign with the key of the address`)
  const compact = parseCompact(given.signature)
  if (compact === null) return no('signature: must be 64 bytes compact, r and s, in hex')
  const text = delegationText(network, nodeKey, own)
  return (await verifyInPool(key.compressed, text, compact))
    ? done({ node_key: nodeKey, address: own, public_key: key.given, signature: lowS(compact) })
    : no(`signature: is not by public_key over ${text}`)
}
