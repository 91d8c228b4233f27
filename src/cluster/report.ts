import type { Presence, createPresence } from './presence.js'

/** What a coordinator knows of its cluster, to be shown. */
export interface ClusterReport {
  coordinator: string
  role: Presence['role']
  epoch: number
  /** The newest record of its file. */
  record: number
  /** Where the owner is reached; null: none is there. */
  owner: string | null
  /** Of a follower, for how long it has been behind its owner; of the owner, how long its oldest turn waits for the log; ms. */
  behind_ms: number
  /** The others that are there. */
  members: {
    coordinator: string
    url: string
    role: Presence['role']
    record: number
    /** How many records it is behind the owner. */
    behind_records: number
    behind_ms: number
  }[]
}

/** @param own what this coordinator says of itself now */
export const createReport =
  ({ own, presence }: { own: () => Presence; presence: Pick<ReturnType<typeof createPresence>, 'present'> }) =>
  (): ClusterReport => {
    const { coordinator, role, epoch, n, url, behind_ms } = own()
    const present = presence.present()
    const owner = role === 'owner' ? { url, n } : (present.find((m) => m.role === 'owner') ?? null)
    return {
      coordinator,
      role,
      epoch,
      record: n,
      owner: owner?.url ?? null,
      behind_ms,
      members: present.map((m) => ({
        coordinator: m.coordinator,
        url: m.url,
        role: m.role,
        record: m.n,
        behind_records: Math.max(0, (owner?.n ?? m.n) - m.n),
        behind_ms: m.behind_ms,
      })),
    }
  }
