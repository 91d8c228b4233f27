import type { SightingKind } from '../../rules/settlement.js'
import { MAX_SIGHTED } from '../../store/settlements.js'
import type { SettlementRow, SightingRow } from '../../store/settlement-schema.js'
import type { ChainOptions, Context } from '../context.js'
import type { AnnouncedBlock, BlockTransaction, Tip } from './reports.js'
import type { Settlements } from './settlements.js'

/** A block that is not among the known ancestors of the tip may still be one: below where they are known. */
type Standing = 'canonical' | 'orphaned' | 'unknown'

export type Blocks = ReturnType<typeof createBlocks>

const errors: Record<Exclude<SightingKind, 'mined'>, string> = {
  aborted: 'it was mined, and the chain has not paid (abort_by_response)',
  hijacked: 'it was mined with another payee or another output hash',
  replaced: 'another transaction of its origin has used its nonce',
}

/**
 * The chain as it is announced to us: blocks of all forks, what they say of our settlements, and which of them count. What a block
 * says holds while the block is an ancestor of the tip, and for good when it is deep enough below it.
 */
export function createBlocks(ctx: Context, chain: ChainOptions, { settlements }: { settlements: Settlements }) {
  const { store, undo } = ctx
  const table = store.settlements
  const state = {
    tip: null as Tip | null,
    /** The walk over all that were seen in blocks goes on behind this task; null when it is done. */
    walk: null as string | null,
  }
  /** Tasks without a result whose payment was seen in a block: somebody has posted it, or another with its nonce. */
  const early = new Set(table.sightedEarly())
  /** The tip and its ancestors, as far down as they are known without a gap. Only remembered: made anew when blocks or tip change. */
  let canonical: { hashes: ReadonlySet<string>; from: number } | null = null
  undo.onRollback(() => {
    canonical = null
  })

  const known = () => {
    if (state.tip === null) return null
    canonical ??= store.chainBlocks.ancestors(state.tip.index_block_hash)
    return canonical
  }
  const standingOf = ({ index_block_hash, height }: SightingRow): Standing => {
    const chainNow = known()
    if (chainNow === null || chainNow.hashes.size === 0) return 'unknown'
    if (chainNow.hashes.has(index_block_hash)) return 'canonical'
    return height >= chainNow.from ? 'orphaned' : 'unknown'
  }

  const kindOf = (row: SettlementRow | undefined, txid: string, seen: BlockTransaction): SightingKind => {
    if (seen.txid !== txid) return 'replaced'
    if (seen.inference === null) return 'hijacked'
    // Of a task that is still worked on, whatever is mined now is not what we fill in.
    const isOurs = row?.payee === seen.inference.payee && row.output_hash === seen.inference.output_hash
    if (!isOurs) return 'hijacked'
    return seen.inference.succeeded ? 'mined' : 'aborted'
  }

  /** What the blocks say of a settlement now. */
  const evaluate = (taskId: string): void => {
    const row = table.get(taskId)
    if (row === undefined || row.state === 'confirmed') return
    const seen = table.sightings(taskId)
    const counted = seen.find((s) => standingOf(s) === 'canonical')
    if (counted !== undefined) {
      const depth = (state.tip?.height ?? 0) - counted.height + 1
      const final = depth >= chain.confirmations
      const to = counted.found === 'mined' && final ? 'confirmed' : counted.found
      if (row.state === to && row.index_block_hash === counted.index_block_hash && row.final === Number(final)) return
      const { height, index_block_hash } = counted
      const place = {
        height,
        index_block_hash,
        due_ms: null,
        tries: 0,
        last_error: counted.found === 'mined' ? null : errors[counted.found],
      }
      if (to === 'confirmed' && row.state !== 'mined') settlements.change(row, 'mined', place)
      settlements.change(table.get(taskId) ?? row, to, { ...place, final: Number(final) })
      if (final) table.removeSightings(taskId)
      return
    }
    if (row.index_block_hash === null) return
    const before = seen.find((s) => s.index_block_hash === row.index_block_hash)
    if (before !== undefined && standingOf(before) === 'orphaned') {
      // The block that it was in is no longer of the chain. Its miner mostly has it again by itself: look in a while.
      settlements.change(row, 'posted', {
        height: null,
        index_block_hash: null,
        final: 0,
        due_ms: settlements.later(2),
        last_error: 'the block that it was in has left the chain',
      })
    } else if (row.due_ms === null) {
      // Blocks are missing between: the relay asks the node what it can tell.
      settlements.change(row, row.state, { due_ms: ctx.now })
      ctx.settlementsDue = true
    }
  }

  const goOn = (): void => {
    if (state.walk === null) return
    const tasks = table.sighted(state.walk)
    for (const task of tasks) evaluate(task)
    state.walk = tasks.length < MAX_SIGHTED ? null : (tasks.at(-1) ?? null)
    if (state.walk !== null) ctx.wake(ctx.now)
  }

  return {
    /** Height of the tip; null while it is not known. */
    height: (): number | null => state.tip?.height ?? null,

    /** A block, or a part of one, was announced. The same again changes nothing. */
    announced({ index_block_hash, parent, height, burn_height, transactions }: AnnouncedBlock): void {
      undo.keep(state)
      const isNew = store.chainBlocks.add({ index_block_hash, parent, height, burn_height })
      if (isNew) canonical = null
      for (const seen of transactions) {
        const task = store.tasks.ofPayment(seen.origin, seen.nonce)
        const txid = task === undefined ? null : store.tasks.head(task.task_id)?.txid
        if (task === undefined || txid == null) continue
        const row = table.get(task.task_id)
        if (row?.state === 'confirmed') continue
        if (row === undefined) {
          undo.keepMember(early, task.task_id)
          early.add(task.task_id)
        }
        table.addSighting({ task_id: task.task_id, index_block_hash, height, found: kindOf(row, txid, seen) })
        evaluate(task.task_id)
      }
      if (!isNew || index_block_hash !== state.tip?.index_block_hash) return
      // The tip was known before its block: only now it is known which blocks count.
      state.walk = ''
      goOn()
    },

    /** The tip of the canonical chain, as the node tells it. */
    tip(tip: Tip): void {
      if (state.tip?.index_block_hash === tip.index_block_hash) return
      undo.keep(state)
      state.tip = tip
      canonical = null
      state.walk = ''
      goOn()
    },

    evaluate,
    /** The task has its result: blocks may have said of its payment before. */
    settled(taskId: string): void {
      if (!early.has(taskId)) return
      undo.keepMember(early, taskId)
      early.delete(taskId)
      evaluate(taskId)
    },

    /** Goes on with what the newest tip changes. */
    tick: goOn,
  }
}
