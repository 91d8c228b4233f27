import type { Context } from '../context.js'
import { LATE_MS, PAUSE_MS, TIME_SLICE_MS } from './vacuum.js'

/** The pause after a time slice, in slices: while nobody else wants the time, and while others do. */
const PAUSES = { idle: 1, busy: 19 } as const
/** After a failure it is tried again so much later, ms. */
const AGAIN_MS = 3_600_000

/**
 * After a new data key, or the first: seals the texts that were stored before under it, in short time slices, until the older keys
 * are needed no more.
 */
export function createResealing(ctx: Context) {
  const { resealing } = ctx.store
  /** Service clock, ms. Only ever hints: how far it is, is in the file. */
  let next = 0
  let unreadable = 0

  const timeSlice = (): Error | null => {
    const began = ctx.time.monotonic()
    const took = (): number => ctx.time.monotonic() - began
    const idle = ctx.now - next <= LATE_MS
    let error: Error | null = null
    do {
      error = ctx.savepoint(() => {
        for (const found of resealing.step()) {
          unreadable++
          ctx.log('error', 'task.unreadable', { ...found })
        }
      })
    } while (error === null && took() < TIME_SLICE_MS && resealing.isLeft())
    next = ctx.now + Math.max(PAUSE_MS, took() * (1 + PAUSES[idle ? 'idle' : 'busy']))
    return error
  }

  return {
    tick() {
      if (!resealing.isLeft()) return
      if (ctx.now >= next) {
        const error = timeSlice()
        if (error !== null) {
          ctx.log('error', 'resealing.failed', { error: error.message })
          next = ctx.now + AGAIN_MS
        } else if (!resealing.isLeft()) {
          const left = unreadable
          ctx.log('info', 'texts.resealed', { unreadable: left })
          ctx.afterCommit.push(() => resealing.end())
        }
      }
      ctx.wake(next)
    },
  }
}
