import { refuse, type Refusal } from '../../lib/result.js'
import { toSeconds } from '../../lib/clock.js'
import { modelKey } from '../../rules/models.js'
import type { Principal } from '../../rules/principal.js'
import { dayOf } from '../../rules/tokens.js'
import type { Usage } from '../../store/quotas.js'
import type { Submission } from '../../wire/rest.js'
import type { Context } from '../context.js'

/** Owners whose day is in memory; the one that is known longest is read from the file again. */
const MAX_OWNERS = 10_000
/** Days whose rows stay, for whoever asks what an owner has used. */
const KEPT_DAYS = 30
/** How often what was counted is written, ms: with each turn it would be a page more of every commit. */
const SAVE_EVERY_MS = 1000

/** What an owner has used of a day. Changed in place, for it is counted with each submission: what a turn does to it is kept once. */
interface Day extends Usage {
  readonly owner: string
  readonly day: number
  /** Of it, what is not in the file yet. */
  newTasks: number
  newFee: number
  newBytes: number
}

const sum = (a: number, b: number): number => Math.min(a + b, Number.MAX_SAFE_INTEGER)

export type Quotas = ReturnType<typeof createQuotas>

/**
 * What owners may submit: in a day (UTC), and at once. The day is in the file, so that a restart gives nobody a new one; it is written
 * about once a second, which a crash may take from the count.
 */
export function createQuotas(ctx: Context) {
  const { store, undo } = ctx
  const days = new Map<string, Day>()
  const unsaved = new Set<Day>()
  /** What was looked for last: the tasks of a batch are of one owner. */
  let last: Day | null = null
  undo.onRollback(() => (last = null))
  let prunedDay = 0
  let nextSave = 0

  const save = (): void => {
    for (const day of unsaved) {
      store.access.quotas.add({
        owner: day.owner,
        day: day.day,
        tasks: day.newTasks,
        fee: day.newFee,
        bytes: day.newBytes,
      })
      undo.keep(day)
      undo.keepMember(unsaved, day)
      day.newTasks = day.newFee = day.newBytes = 0
    }
    unsaved.clear()
  }

  const forget = (known: Day): void => {
    if (unsaved.has(known)) save() // the file has to know it
    undo.keepEntry(days, known.owner)
    days.delete(known.owner)
  }

  /** The day of an owner that it is now. */
  const today = (owner: string): Day => {
    const day = dayOf(toSeconds(ctx.wall))
    if (last?.owner === owner && last.day === day) return last
    const known = days.get(owner)
    if (known?.day === day) return (last = known)
    if (known !== undefined) forget(known)
    const [oldest] = days.values()
    if (days.size >= MAX_OWNERS && oldest !== undefined) forget(oldest)
    undo.keepEntry(days, owner)
    last = { owner, day, ...store.access.quotas.get(owner, day), newTasks: 0, newFee: 0, newBytes: 0 }
    days.set(owner, last)
    return last
  }

  const tooMuch = (name: string, limit: number, what: string): Refusal =>
    refuse('rate_limited', `${name}: ${what} more than ${limit}, the limit of this token's owner; ask the operator`)

  const isOneOf = (models: readonly string[], name: string): boolean => {
    const wanted = [modelKey(name), ctx.models.familyOf(name)]
    return models.some((m) => wanted.includes(modelKey(m)))
  }

  return {
    /** Counts a submission, which nothing else keeps from being taken. @returns why the owner may not submit it too; null: it is counted */
    take({ limits }: Principal, owner: string, s: Submission): Refusal | null {
      const { models, max_pending, tasks_per_day, fee_per_day, bytes_per_day } = limits
      if (models !== null && !isOneOf(models, s.model_name))
        return refuse('forbidden', `model_name: this token is for ${models.join(', ')} only`)
      if (max_pending !== null && (ctx.pendingPerUser?.get(owner) ?? 0) >= max_pending)
        return tooMuch('max_pending', max_pending, 'tasks that wait would be')
      const used = today(owner)
      const bytes = textBytes(s)
      if (tasks_per_day !== null && used.tasks >= tasks_per_day)
        return tooMuch('tasks_per_day', tasks_per_day, 'tasks of this day (UTC) would be')
      if (fee_per_day !== null && used.fee + s.infer_fee > fee_per_day)
        return tooMuch('fee_per_day', fee_per_day, 'fees of this day (UTC) would be')
      if (bytes_per_day !== null && used.bytes + bytes > bytes_per_day)
        return tooMuch('bytes_per_day', bytes_per_day, 'bytes of this day (UTC) would be')
      undo.keep(used)
      used.tasks++
      used.newTasks++
      used.fee = sum(used.fee, s.infer_fee)
      used.newFee = sum(used.newFee, s.infer_fee)
      used.bytes += bytes
      used.newBytes += bytes
      if (!unsaved.has(used)) {
        undo.keepMember(unsaved, used)
        unsaved.add(used)
      }
      return null
    },

    /** Writes what was counted. */
    save,

    /** The same about once a second, and deletes days that nobody asks for any more, some at a time. */
    tick(): void {
      if (ctx.now >= nextSave) {
        save()
        nextSave = ctx.now + SAVE_EVERY_MS
      }
      const before = dayOf(toSeconds(ctx.wall)) - KEPT_DAYS
      if (prunedDay >= before) return
      if (store.access.quotas.prune(before) === 0) prunedDay = before
    },
  }
}

const bytesOf = (text: string | null): number => (text === null || text === '' ? 0 : Buffer.byteLength(text))
/** What its texts count as of a day, in bytes of UTF-8. */
const textBytes = ({ user_input, context, signed_tx, params }: Submission): number =>
  bytesOf(user_input) + bytesOf(context) + bytesOf(signed_tx) + bytesOf(params)
