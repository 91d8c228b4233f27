import { toSeconds } from '../lib/clock.js'
import { done, type Outcome } from '../lib/result.js'
import { sentences } from '../lib/sentences.js'
import type { Vigilance } from './access/vigilance.js'
import type { CallbackDesk } from './callbacks/desk.js'
import type { Context } from './context.js'
import type { Results, Stats } from './operations.js'
import type { SettlementDesk } from './settlement/desk.js'

export interface FigureParts {
  health(): Outcome<Results['health']>
  vigilance: Pick<Vigilance, 'warning'>
  /** Null where the chain is not looked at. */
  desk: Pick<SettlementDesk, 'counts' | 'warning'> | null
  callbacks: Pick<CallbackDesk, 'counts'>
}

/** How the service stands: its counters, and what an operator should know. */
export function createFigures(ctx: Context, { health, vigilance, desk, callbacks }: FigureParts) {
  const startedAt = ctx.time.monotonic()
  return {
    stats: (): Stats => ({
      tasks: { ...ctx.store.tasks.counts },
      settlements: desk?.counts() ?? null,
      callbacks: callbacks.counts(),
      nodes: ctx.registry.counts(ctx.now),
      average_inference_time: ctx.durations.mean(ctx.now) / 1000,
      uptime_seconds: toSeconds(ctx.time.monotonic() - startedAt),
    }),

    health(): Outcome<Results['health']> {
      const found = health()
      if (!found.ok) return found
      return done({ warning: sentences(found.value.warning, vigilance.warning(), desk?.warning()) })
    },
  }
}
