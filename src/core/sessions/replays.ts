import type { Proof } from '../../wire/signed.js'
import type { Context } from '../context.js'

/** How long a signed call is remembered, ms: the time of a call may be 300 s from ours, to either side. */
const REMEMBERED_MS = 600_000
/** How many; the oldest is forgotten for one more. */
const MAX_REMEMBERED = 100_000

/** What a signed poll was answered. */
export type Given = { task_id: string; attempt: number } | null

/**
 * Signed polls of the last ten minutes, by key and time, so that who repeats another's gets nothing more than that one. In memory
 * only: after a restart a repeat gets at most what its node holds, and a hand-out is counted.
 */
export function createReplays(ctx: Context) {
  const known = new Map<string, { at: number; given: Given }>()
  const nameOf = ({ key, timestamp }: Proof): string => `${timestamp} ${key}`
  return {
    /** What the same call was answered; undefined when it is the first. */
    get: (proof: Proof): Given | undefined => known.get(nameOf(proof))?.given,
    set(proof: Proof, given: Given): void {
      for (const [name, { at }] of known) {
        if (known.size < MAX_REMEMBERED && ctx.now - at < REMEMBERED_MS) break
        known.delete(name)
      }
      ctx.undo.keepEntry(known, nameOf(proof))
      known.set(nameOf(proof), { at: ctx.now, given })
    },
  }
}
