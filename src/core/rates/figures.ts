import { createFeed, type Feed } from './feed.js'
import type { ServedModels } from './labels.js'
import { createRates, type Rates } from './rates.js'
import { createRecentAttempts, type RecentAttempts } from './recent.js'
import { createTracedEnds, type TracedEnds } from './traced-ends.js'

/** What is known of what happens: how much of it, what was last, what the live feed is told, and which traces have a task more. */
export interface Figures {
  rates: Rates
  recent: RecentAttempts
  feed: Feed
  tracedEnds: TracedEnds
}

/** @param startedAt service clock, ms */
export const createFigures = (served: ServedModels, startedAt: number): Figures => ({
  rates: createRates(served, startedAt),
  recent: createRecentAttempts(),
  feed: createFeed(),
  tracedEnds: createTracedEnds(),
})
