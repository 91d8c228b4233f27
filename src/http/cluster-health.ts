import { refuse } from '../lib/result.js'
import { sentences } from '../lib/sentences.js'
import type { ClusterReport } from '../wire/service-answers.js'

/** A follower that has been behind for longer than this is warned of, ms. */
const FOLLOWER_BEHIND_MS = 10_000

/** Nothing is acknowledged: what is asked waits, or is refused. */
export const LOG_BEHIND = refuse(
  'unavailable',
  'the log of the cluster does not store what is written; see whether its servers run and are reached',
)

/** What an operator should look at in the cluster of a service; null: nothing. */
export function clusterWarning(report: ClusterReport | undefined): string | null {
  if (report === undefined) return null
  if (report.followers.length === 0)
    return 'no other coordinator follows: when this one is lost nobody takes over; start another of this cluster'
  const late = report.followers
    .filter((f) => f.behind_ms > FOLLOWER_BEHIND_MS)
    .map(
      ({ coordinator, behind_ms, behind_records }) =>
        `${coordinator} has been behind for ${Math.round(behind_ms / 1000)} s (${behind_records} records): see its log`,
    )
  return sentences(...late)
}
