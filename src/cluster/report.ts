import type { ClusterReport } from '../wire/service-answers.js'
import type { Presence, createPresence } from './presence.js'

/** What a coordinator knows of its cluster, to be shown. @param own what it says of itself now */
export const createReport =
  ({
    own,
    presence,
  }: {
    own: () => Presence
    presence: Pick<ReturnType<typeof createPresence>, 'present' | 'followers'>
  }) =>
  (): ClusterReport => {
    const { coordinator, role, epoch, n, url, behind_ms } = own()
    const owner = role === 'owner' ? { url, n } : (presence.present().find((m) => m.role === 'owner') ?? null)
    // One that has just started again is there twice for a moment.
    const followers = new Map(presence.followers().map((m) => [m.coordinator, m]))
    return {
      coordinator,
      role,
      epoch,
      record: n,
      owner: owner?.url ?? null,
      behind_ms,
      followers: [...followers.values()].map((m) => ({
        coordinator: m.coordinator,
        url: m.url,
        record: m.n,
        behind_records: Math.max(0, (owner?.n ?? m.n) - m.n),
        behind_ms: m.behind_ms,
      })),
    }
  }
