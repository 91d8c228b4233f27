import { refuse, type Refusal } from '../../lib/result.js'
import { toSeconds } from '../../lib/clock.js'
import { modelKey } from '../../rules/models.js'
import type { Principal } from '../../rules/principal.js'
import { dayOf } from '../../rules/tokens.js'
import type { Usage } from '../../store/quotas.js'
import type { Submission } from '../../wire/rest.js'
import type { Context } from '../context.js'

/** Owners whose day is in memory; the longest unused is read from the file again. */
const MAX_OWNERS = 10_000
/** Days whose rows stay, for whoever asks what an owner has used. */
const KEPT_DAYS = 30
/** How often what was counted is written, ms: with each turn it would be a page more of every commit. */
const SAVE_EVERY_MS = 1000

/** Changed in place, for it is counted with each submission: what a turn does to it is kept once. */
interface Day extends Usage {
  readonly day: number
}

export type Quotas = ReturnType<typeof createQuotas>

/**
 * What owners may submit: in a day (UTC), and at once. The day is in the file, so that a restart gives nobody a new one; it is written
 * about once a second, which a crash may take from the count.
 */
export function createQuotas(ctx: Context) {
  const { store, undo } = ctx
  const days = new Map<string, Day>()
  /** Not written yet. */
  const added = new Map<string, Day>()
  let prunedDay = 0
  let nextSave = 0
  const usedBy = (owner: string, day: number): Day => {
    const known = days.get(owner)
    if (known?.day === day) return known
    const stored = store.access.quotas.get(owner, day)
    const more = added.get(owner)
    const read =
      more?.day === day
        ? { day, tasks: stored.tasks + more.tasks, fee: stored.fee + more.fee, bytes: stored.bytes + more.bytes }
        : { day, ...stored }
    undo.keepEntry(days, owner)
    const [oldest] = days.keys()
    if (days.size >= MAX_OWNERS && oldest !== undefined) days.delete(oldest)
    days.set(owner, read)
    return read
  }
  /** Since it was written last. */
  const addedBy = (owner: string, day: number): Day => {
    if ((added.get(owner)?.day ?? day) !== day) save() // midnight is between them
    const known = added.get(owner)
    if (known !== undefined) return known
    const none = { day, tasks: 0, fee: 0, bytes: 0 }
    undo.keepEntry(added, owner)
    added.set(owner, none)
    return none
  }
  const add = (to: Day, fee: number, bytes: number): void => {
    undo.keep(to)
    to.tasks++
    to.fee = Math.min(to.fee + fee, Number.MAX_SAFE_INTEGER)
    to.bytes += bytes
  }
  const tooMuch = (name: string, limit: number, what: string): Refusal =>
    refuse('rate_limited', `${name}: ${what} more than ${limit}, the limit of this token's owner; ask the operator`)

  const save = (): void => {
    for (const [owner, usage] of added) {
      store.access.quotas.add({ owner, ...usage })
      undo.keepEntry(added, owner)
    }
    added.clear()
  }

  const isOneOf = (models: readonly string[], name: string): boolean => {
    const wanted = [modelKey(name), ctx.models.familyOf(name)]
    return models.some((m) => wanted.includes(modelKey(m)))
  }

  return {
    /** Why an owner may not submit this too; null when he may. @param bytes of its texts */
    refusal({ limits }: Principal, owner: string, s: Submission, bytes: number): Refusal | null {
      const { models, max_pending, tasks_per_day, fee_per_day, bytes_per_day } = limits
      if (models !== null && !isOneOf(models, s.model_name))
        return refuse('forbidden', `model_name: this token is for ${models.join(', ')} only`)
      if (max_pending !== null && (ctx.pendingPerUser?.get(owner) ?? 0) >= max_pending)
        return tooMuch('max_pending', max_pending, 'tasks that wait would be')
      if (tasks_per_day === null && fee_per_day === null && bytes_per_day === null) return null
      const used = usedBy(owner, dayOf(toSeconds(ctx.wall)))
      if (tasks_per_day !== null && used.tasks >= tasks_per_day)
        return tooMuch('tasks_per_day', tasks_per_day, 'tasks of this day (UTC) would be')
      if (fee_per_day !== null && used.fee + s.infer_fee > fee_per_day)
        return tooMuch('fee_per_day', fee_per_day, 'fees of this day (UTC) would be')
      if (bytes_per_day !== null && used.bytes + bytes > bytes_per_day)
        return tooMuch('bytes_per_day', bytes_per_day, 'bytes of this day (UTC) would be')
      return null
    },

    /** Counts a submission that was taken. */
    count(owner: string, fee: number, bytes: number): void {
      const day = dayOf(toSeconds(ctx.wall))
      add(usedBy(owner, day), fee, bytes)
      add(addedBy(owner, day), fee, bytes)
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
