import { clusterView, type ClusterReport } from '../wire/service-answers.js'
import { createFamilies, type Families, type Value } from './families.js'

/** How a coordinator stands in its cluster, and what its process has seen of it. */
export interface ClusterFigures {
  /** Null: it has not reached the log yet. */
  report: ClusterReport | null
  /** Whether its connection to the log stands. */
  connected: boolean
  /** How often it has begun to own the work. */
  takeovers: number
  /** Records that the log had lost, and was given again. */
  healed: number
}

/** Told by whoever owns the work: of the followers, of whom there are at most 16. */
export function addClusterFamilies({ counter, gauge }: Families, figures: () => ClusterFigures): void {
  const one = (read: (of: ClusterFigures) => number) => (): Value[] => [[{}, read(figures())]]
  const ofOwner = (read: (of: ClusterReport) => Value[]) => (): Value[] => {
    const { report } = figures()
    return report?.role === 'owner' ? read(report) : []
  }
  const known = (read: (of: ClusterReport) => number) => (): Value[] => {
    const { report } = figures()
    return report === null ? [] : [[{}, read(report)]]
  }
  const roles = clusterView.entries.role.options

  gauge('inference_cluster_role', '1: this coordinator has this role in its cluster', ['role'], () => {
    const now = figures().report?.role ?? 'joining'
    return roles.map((role) => [{ role }, role === now ? 1 : 0])
  })
  gauge('inference_cluster_epoch', 'The epoch of the newest record of its file', [], known((r) => r.epoch)) // prettier-ignore
  gauge('inference_cluster_record', 'The newest record of its file', [], known((r) => r.record)) // prettier-ignore
  gauge('inference_cluster_followers', 'How many coordinators follow; told by the owner', [], ofOwner((r) => [[{}, r.followers.length]])) // prettier-ignore
  gauge(
    'inference_cluster_follower_lag_records',
    'How many records a follower is behind; told by the owner',
    ['coordinator'],
    ofOwner((r) => r.followers.map(({ coordinator, behind_records }) => [{ coordinator }, behind_records])),
  )
  gauge(
    'inference_cluster_follower_lag_seconds',
    'For how long a follower has been behind; told by the owner',
    ['coordinator'],
    ofOwner((r) => r.followers.map(({ coordinator, behind_ms }) => [{ coordinator }, behind_ms / 1000])),
  )
  gauge('inference_cluster_waiting_seconds', 'How long the oldest turn has waited for the log; told by the owner', [], ofOwner((r) => [[{}, r.behind_ms / 1000]])) // prettier-ignore
  gauge('inference_cluster_log_connected', '1: the connection to the log stands', [], one((of) => (of.connected ? 1 : 0))) // prettier-ignore
  counter('inference_cluster_takeovers_total', 'How often this process has begun to own the work', [], one((of) => of.takeovers)) // prettier-ignore
  counter('inference_cluster_healed_records_total', 'Records that the log had lost, and was given again', [], one((of) => of.healed)) // prettier-ignore
}

/** What Prometheus reads of a coordinator that does not own the work. */
export function createStandbyMetrics(
  figures: () => ClusterFigures,
  build: { version: string; node: string; commit: string },
) {
  const families = createFamilies()
  addClusterFamilies(families, figures)
  families.gauge('inference_build_info', 'What runs', ['version', 'node', 'commit'], () => [[build, 1]])
  return { text: families.text }
}
