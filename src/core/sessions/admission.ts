import type { AddressKeys } from '../../lib/address.js'
import { toSeconds } from '../../lib/clock.js'
import { createAddressRate } from '../../lib/rate.js'
import type { NodeRow } from '../../store/schema.js'
import { newNodeProblem } from '../../wire/fields.js'
import { nodeIdOf, normalizeKey } from '../../wire/keys.js'
import type { Context } from '../context.js'
import { NO_HISTORY, type Node } from '../nodes/node.js'
import type { Payees } from '../settlement/payees.js'
import type { Attempts } from '../tasks/attempts.js'

/** A node that has never completed anything is forgotten after so much silence, ms. */
const IDLE_FOR_MS = 86_400_000
/** How many of those one tick forgets. */
const MAX_FORGOTTEN_AT_ONCE = 100
/** How long the name of a node that an operator has forgotten is kept for the key that it had proven. */
const NAME_KEPT_DAYS = 30
const NAME_KEPT_MS = NAME_KEPT_DAYS * 86_400_000
const HOUR_SECONDS = 3600

/** Who asks for a name. */
export interface Claim {
  node: Parameters<typeof newNodeProblem>[0]
  /** Normalized when it was proven, else as it was given. */
  key: string
  proven: boolean
  /** Who its address counts as. */
  from: AddressKeys
}

/** What of a node's row is not the node's own to say. */
export type Standing = Pick<NodeRow, 'public_key' | 'node_address' | 'agent' | 'epoch' | keyof typeof NO_HISTORY>

export interface Refused {
  /** unsigned: only who proves the key has it. invalid: what it says of itself. */
  why: 'otherKey' | 'unsigned' | 'full' | 'tooManyNew' | 'invalid'
  message: string
}

export type Admission = ReturnType<typeof createAdmission>

/**
 * Who gets a name, over whichever transport, and how names become free. A name belongs to the first key that is proven for it;
 * until then to who registered it, for as long as he holds a task or is heard of. Whenever it gets into new hands it gets a new
 * epoch, so that nobody has a say in what was given to the hands before.
 */
export function createAdmission(ctx: Context, { attempts, payees }: { attempts: Attempts; payees: Payees | null }) {
  const { registry, store, options, undo } = ctx
  const withinRate = createAddressRate(
    options.maxNewNodesPerHour / HOUR_SECONDS,
    () => ctx.time.monotonic(),
    options.maxNewNodesPerHour,
  )

  /** Before that nobody could come back: what a file says of long ago is held against no node. */
  const startedAt = ctx.now

  const refused = (why: Refused['why'], message: string): Refused => ({ why, message })
  const unsigned = (nodeId: string): Refused =>
    refused(
      'unsigned',
      `node_id: ${nodeId} has proven its key in a session; unsigned calls in its name are refused, use the session at /api/v1/nodes/connect`,
    )
  const newHands = (key: string): Standing => ({
    ...NO_HISTORY,
    public_key: key,
    node_address: null,
    agent: null,
    epoch: store.nodes.nextEpoch(),
  })

  /** One that may be forgotten for another: it has been away for longer than a node that is only reconnecting. */
  const leastMissed = (): Node | undefined => {
    const node = registry.longestIdle()
    return node !== undefined && ctx.now - node.seen > options.nodeTimeout ? node : undefined
  }

  const newName = ({ node, key, proven, from }: Claim): Standing | Refused => {
    const { node_id } = node
    const keptFor = store.nodes.nameKeptFor(node_id, ctx.now)
    if (keptFor !== null && !sameKey(keptFor, key)) {
      return refused(
        'otherKey',
        `public_key: ${node_id} is kept for the key that it had proven, for ${NAME_KEPT_DAYS} days after it was forgotten; use that key, or another node_id`,
      )
    }
    if (keptFor !== null && !proven) return unsigned(node_id)
    const problem = newNodeProblem(node)
    if (problem !== null) return refused('invalid', problem)
    const isFull = registry.nodes.size >= options.maxNodes
    const leaves = isFull ? leastMissed() : undefined
    if (isFull && leaves === undefined) {
      return refused(
        'full',
        `the service has ${options.maxNodes} nodes, the most it takes (max_nodes); ask its operator`,
      )
    }
    if (!withinRate(from)) {
      return refused(
        'tooManyNew',
        `node_id: ${node_id} is new, and this address may register ${options.maxNewNodesPerHour} new nodes an hour (max_new_nodes_per_hour); use those that are there, or try again later`,
      )
    }
    undo.keep({}, () => () => void withinRate(from, -1))
    if (leaves !== undefined) {
      registry.forget(leaves)
      ctx.log('info', 'node.forgotten', { node_id: leaves.row.node_id, reason: 'max_nodes' })
    }
    if (keptFor !== null) store.nodes.freeName(node_id)
    return newHands(key)
  }

  /** Why a name that no key was proven for is not free; null when it is. */
  const whyInUse = ({ row, held, seen }: Node): string | null => {
    const silent = ctx.now - seen
    if (held.size === 0 && silent > options.nodeTimeout) return null
    const what =
      held.size > 0
        ? `holds ${held.size} ${held.size === 1 ? 'task' : 'tasks'}`
        : `was heard of ${toSeconds(silent)} s ago`
    return `node_id: ${row.node_id} belongs to a node that polls, and that one ${what}; the first key that is proven gets it when it holds none and has been silent for ${options.nodeTimeout / 1000} s (node_timeout); until then use another node_id`
  }

  /** A key is proven for a name that somebody has registered without proving his own. */
  const takeOver = (node: Node, key: string): Standing | Refused => {
    const { node_id, drained } = node.row
    // Nobody else can prove a key that this name follows from, so whoever is there is not whose it is.
    const inUse = nodeIdOf(key) === node_id ? null : whyInUse(node)
    if (inUse !== null) return refused('otherKey', inUse)
    for (const attempt of [...node.held.values()])
      attempts.requeue(attempt, 'lost', 'network', 'the node_id belongs to another key, which was proven')
    ctx.log('info', 'node.taken_over', { node_id })
    return { ...newHands(key), drained } // that is the operator's word, and about the name
  }

  return {
    /** Who has the name may have it again; what that changes besides is done when this returns. */
    claim(claim: Claim): Standing | Refused {
      const { node, key, proven } = claim
      const elsewhere = payees?.problem(key, node.node_address) ?? null
      if (elsewhere !== null) return refused('invalid', elsewhere)
      const known = registry.nodes.get(node.node_id)
      if (known === undefined) return newName(claim)
      const isProven = known.row.key_proven === 1
      if (sameKey(known.row.public_key, key)) return isProven && !proven ? unsigned(node.node_id) : known.row
      if (proven && !isProven) return takeOver(known, key)
      return refused(
        'otherKey',
        `public_key: ${node.node_id} is registered with another key; use that key, or another node_id`,
      )
    },

    unsigned,

    /** An operator forgets a node that holds nothing. */
    forget(node: Node): void {
      const { node_id, public_key, key_proven } = node.row
      const key = key_proven === 1 ? normalizeKey(public_key) : null
      if (key !== null) store.nodes.keepName(node_id, key, ctx.now + NAME_KEPT_MS, ctx.now)
      registry.forget(node)
      ctx.log('info', 'node.forgotten', { node_id, reason: 'operator' })
    },

    /** Forgets those that have never completed anything and have been away for a day, some at a time. */
    tick(): void {
      let forgotten = 0
      while (forgotten < MAX_FORGOTTEN_AT_ONCE) {
        const node = registry.longestIdle()
        if (node === undefined || ctx.now - Math.max(node.seen, startedAt) < IDLE_FOR_MS) break
        registry.forget(node)
        forgotten++
      }
      if (forgotten > 0) ctx.log('info', 'nodes.forgotten', { nodes: forgotten, silent_hours: IDLE_FOR_MS / 3_600_000 })
    },
  }
}

/** The same text, or two spellings of the same secp256k1 key. */
export function sameKey(a: string, b: string): boolean {
  if (a === b) return true
  const key = normalizeKey(a)
  return key !== null && key === normalizeKey(b)
}
