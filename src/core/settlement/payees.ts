import { addressOf, type Network } from '../../chain/address.js'
import type { NodeRow } from '../../store/schema.js'
import { readKey } from '../../wire/keys.js'

/** How many keys are remembered with their addresses. */
const MAX_KNOWN = 20_000

interface Known {
  /** 33 bytes, lower-case hex. */
  key: string
  address: string
}

export type Payees = ReturnType<typeof createPayees>

/**
 * Who is paid for what a node does: the address of its key, or another one where both want it: the node names it as its
 * `node_address`, and its owner has let the key be paid there.
 * @param delegated the address that a key is delegated to; undefined: none
 */
export function createPayees(network: Network, delegated: (key: string) => string | undefined) {
  const known = new Map<string, Known | null>()
  const find = (publicKey: string): Known | null => {
    const before = known.get(publicKey)
    if (before !== undefined) return before
    const key = readKey(publicKey)
    const found = key === null ? null : { key: key.compressed, address: addressOf(key, network) }
    const [oldest] = known.keys()
    if (known.size >= MAX_KNOWN && oldest !== undefined) known.delete(oldest)
    known.set(publicKey, found)
    return found
  }
  return {
    /** Where what a node does is paid; null when it has no key that could be paid. */
    of({ public_key, node_address }: Pick<NodeRow, 'public_key' | 'node_address'>): string | null {
      const found = find(public_key)
      if (found === null) return null
      return node_address !== null && node_address === delegated(found.key) ? node_address : found.address
    },
    /** Why a node with this key may not say this `node_address` of itself; null when it may. */
    problem(publicKey: string, nodeAddress: string | null | undefined): string | null {
      if (nodeAddress == null || nodeAddress === '') return null
      const found = find(publicKey)
      if (found === null)
        return `node_address: ${nodeAddress} cannot be paid for a node whose public_key is no secp256k1 key in hex; register it with the key it signs with`
      const { key, address } = found
      return nodeAddress === address || nodeAddress === delegated(key)
        ? null
        : `node_address: the key of this node can be paid at ${[address, delegated(key)].filter((a) => a !== undefined).join(' or ')}, not at ${nodeAddress}; leave node_address out, or have the owner of ${nodeAddress} sign a delegation first (stacks-signer delegations sign)`
    },
  }
}
