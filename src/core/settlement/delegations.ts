import { toSeconds } from '../../lib/clock.js'
import { done, refuse, type Outcome } from '../../lib/result.js'
import { smallest } from '../../lib/smallest.js'
import type { DelegationRow } from '../../store/settlement-schema.js'
import type { Delegation } from '../../wire/delegation.js'
import { normalizeKey } from '../../wire/keys.js'
import { auditBy, type Allowed } from '../access/caller.js'
import type { Context } from '../context.js'
import type { Node } from '../nodes/node.js'

/** For each node that there may be, so many are kept: some stay when their nodes have gone. */
const KEPT_A_NODE = 2

export type Delegations = ReturnType<typeof createDelegations>

/**
 * Which addresses their owners have let the keys of nodes be paid at: kept in memory, one a key. That an owner has signed is one half:
 * it takes effect only for a node that names the address itself (`payees.ts`), or anybody could turn a stranger's pay to himself.
 */
export function createDelegations(ctx: Context) {
  const { store, registry, undo } = ctx
  const rows = new Map(store.delegations.all().map((row) => [row.node_key, row]))

  const nodesOf = (key: string): Node[] => {
    // The x of a key is in each of its forms: most nodes are passed over without any arithmetic.
    const x = key.slice(2)
    return [...registry.nodes.values()].filter(
      ({ row }) => row.public_key.toLowerCase().includes(x) && normalizeKey(row.public_key) === key,
    )
  }
  const set = (key: string, row: DelegationRow | null, nodes: readonly Node[]): void => {
    undo.keepEntry(rows, key)
    if (row === null) {
      store.delegations.remove(key)
      rows.delete(key)
    } else {
      store.delegations.save(row)
      rows.set(key, row)
    }
    for (const node of nodes) registry.markLanes(node) // its payee may be another, with another stake
  }

  return {
    /** The address that a key (normalized) is delegated to. */
    of: (key: string): string | undefined => rows.get(key)?.address,

    /** @param given as the door has verified it */
    add(given: Delegation, { by }: Allowed): Outcome<DelegationRow> {
      const { node_key, address } = given
      const before = rows.get(node_key)
      if (before?.address === address) return done(before)
      const nodes = nodesOf(node_key)
      if (nodes.length === 0 && ctx.credentials.key(node_key)?.state !== 'enrolled')
        return refuse(
          'conflict',
          `node_key: ${node_key} is the key of no node here; register the node first, or have the operator allow its key (stacks-signer nodes allow)`,
        )
      const user = before === undefined ? undefined : nodes.find(({ row }) => row.node_address === before.address)
      if (before !== undefined && user !== undefined)
        return refuse(
          'conflict',
          `node_key: node ${user.row.node_id} is paid at ${before.address}, as it says itself; have the operator revoke that delegation first (stacks-signer delegations revoke)`,
        )
      if (before === undefined && rows.size >= KEPT_A_NODE * ctx.options.maxNodes)
        return refuse(
          'conflict',
          `node_key: the service keeps ${rows.size} delegations, the most it takes; ask its operator to revoke those that are not needed`,
        )
      const row = { ...given, created_at: toSeconds(ctx.wall) }
      set(node_key, row, nodes)
      store.access.audit.append(
        { action: 'payee.delegated', subject: node_key, detail: { address, was: before?.address ?? null } },
        auditBy(by, ctx.wall),
      )
      ctx.log('info', 'payee.delegated', { node_key, address })
      return done(row)
    },

    list(after: string | null, limit: number): Outcome<{ delegations: DelegationRow[]; next: string | null }> {
      const keys = smallest(rows.keys(), after, limit + 1)
      return done({
        delegations: keys.slice(0, limit).flatMap((key) => rows.get(key) ?? []),
        next: keys.length > limit ? (keys[limit - 1] ?? null) : null,
      })
    },

    /** @param text of the node's key, any form */
    revoke(text: string, { by }: Allowed): Outcome<null> {
      const key = normalizeKey(text)
      const row = key === null ? undefined : rows.get(key)
      if (key === null || row === undefined) return refuse('not_found', `node_key: there is no delegation of ${text}`)
      set(key, null, nodesOf(key))
      store.access.audit.append(
        { action: 'payee.revoked', subject: key, detail: { address: row.address } },
        auditBy(by, ctx.wall),
      )
      ctx.log('info', 'payee.revoked', { node_key: key, address: row.address })
      return done(null)
    },
  }
}
