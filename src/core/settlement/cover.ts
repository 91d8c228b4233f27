import type { OpenAttempt } from '../../store/attempts.js'
import type { ReadyTask } from '../../store/tasks.js'
import type { ChainOptions, Context } from '../context.js'
import type { Node } from '../nodes/node.js'
import type { Payees } from './payees.js'
import type { NodeCover, StakeSeen } from './reports.js'

/** A stake that can be unlocked in so many burn blocks (about two hours) covers nothing new. */
const UNLOCK_MARGIN = 12
/** How much longer a stake is believed while nobody can tell it. */
const STALE_FACTOR = 10
/** How many stakes are asked for at once. */
const MAX_ASKED = 32

interface Stake {
  amount: number
  unlockHeight: number
  /** When the chain told it, and when it was last asked for; service clock, ms. */
  at: number
  askedAt: number
}

type Paid = Pick<ReadyTask, 'infer_fee' | 'paid_nonce'>

export type Cover = ReturnType<typeof createCover>

/** Which paid tasks a node may have: it must have a key that can be paid, and where stakes are required, one that covers all that it holds. */
export function createCover(ctx: Context, chain: ChainOptions | null, payees: Payees | null) {
  const { registry, store, undo } = ctx
  const stakes = new Map<string, Stake>()
  /** The fee of what is held; asked of the file after a restart. */
  const fees = new WeakMap<Readonly<OpenAttempt>, number>()
  const state = { burnHeight: 0 }

  const feeOf = (attempt: Readonly<OpenAttempt>): number => {
    const known = fees.get(attempt)
    if (known !== undefined) return known
    const task = store.tasks.head(attempt.task_id)
    const fee = task === undefined || task.paid_nonce === null ? 0 : task.infer_fee
    fees.set(attempt, fee)
    return fee
  }
  const heldFees = (node: Node): number => [...node.held.values()].reduce((sum, attempt) => sum + feeOf(attempt), 0)

  /** What a stake covers now, micro-STX; null where it is not known. */
  const stakeOf = (payee: string): number | null => {
    const stake = stakes.get(payee)
    if (chain === null || stake === undefined || ctx.now - stake.at > chain.stakeTtl * STALE_FACTOR) return null
    return stake.unlockHeight > state.burnHeight + UNLOCK_MARGIN ? stake.amount : 0
  }

  return {
    /** Whether every node may have everything. */
    isOpen: (): boolean => chain === null || payees === null,

    allows(node: Node, task: Paid): boolean {
      if (chain === null || payees === null || task.paid_nonce === null) return true
      const payee = payees.of(node.row)
      if (payee === null) return false
      if (!chain.stakeRequired || task.infer_fee === 0) return true
      return (stakeOf(payee) ?? 0) >= chain.stakeFactor * (heldFees(node) + task.infer_fee)
    },

    of(node: Node): NodeCover {
      if (chain === null || payees === null) return { payee: null, stake: null, why: null }
      const payee = payees.of(node.row)
      if (payee === null) return { payee, stake: null, why: 'its public_key is none that could be paid' }
      if (!chain.stakeRequired) return { payee, stake: null, why: null }
      const stake = stakeOf(payee)
      const needed = chain.stakeFactor * heldFees(node)
      const why =
        stake === null
          ? `the stake of ${payee} is not known yet`
          : stake === 0
            ? `${payee} has no stake that stays locked for long enough`
            : stake <= needed
              ? `the stake of ${payee}, ${stake} micro-STX, is taken up by what it holds`
              : null
      return { payee, stake, why }
    },

    /** Whose stakes the chain is to be asked for now. */
    due(): string[] {
      if (chain === null || payees === null || !chain.stakeRequired) return []
      const wanted = new Set<string>()
      for (const node of registry.nodes.values()) {
        if (wanted.size >= MAX_ASKED) break
        if (!registry.isServing(node, ctx.now)) continue
        const payee = payees.of(node.row)
        if (payee !== null && ctx.now - (stakes.get(payee)?.askedAt ?? -Infinity) >= chain.stakeTtl) wanted.add(payee)
      }
      return [...wanted]
    },

    /** What the chain has told of stakes. */
    seen(list: readonly StakeSeen[], burnHeight: number): void {
      undo.keep(state)
      state.burnHeight = Math.max(state.burnHeight, burnHeight)
      for (const { address, stake } of list) {
        undo.keepEntry(stakes, address)
        const before = stakes.get(address)
        if (stake === 'unknown') {
          const kept = before ?? { amount: 0, unlockHeight: 0, at: -Infinity, askedAt: 0 }
          stakes.set(address, { ...kept, askedAt: ctx.now })
        } else
          stakes.set(address, {
            amount: stake?.amount ?? 0,
            unlockHeight: stake?.unlock_height ?? 0,
            at: ctx.now,
            askedAt: ctx.now,
          })
      }
      // What was not covered may be now.
      for (const node of registry.nodes.values()) if (registry.isServing(node, ctx.now)) registry.markLanes(node)
    },
  }
}
