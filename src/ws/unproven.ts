import type { CloseReason } from '../wire/codes.js'

/** A session that has not shown yet who it is. */
export interface UnprovenSession {
  close(reason: CloseReason, text: string): void
}

export type Unproven = ReturnType<typeof createUnproven>

/** For another of its own address a session goes only when it has said nothing for so long, ms: else nothing is gained. */
const SILENT_MS = 1000
const CROWDED = 'too many sessions have not said who they are; say it at once'

/**
 * The sessions that have proven nothing, by address. For one more the oldest of the address with most of them goes, so that who
 * says at once who he is gets in, whatever others do. Where that is its own address, it may have to come again later.
 * @param most of all
 * @param now ms, monotonic
 */
export function createUnproven(most: number, mostOfAddress: number, now: () => number) {
  /** The oldest first. */
  const byAddress = new Map<string, Set<UnprovenSession>>()
  const addressOf = new Map<UnprovenSession, string>()
  const begun = new WeakMap<UnprovenSession, number>()

  const remove = (session: UnprovenSession): boolean => {
    const address = addressOf.get(session)
    if (address === undefined) return false
    addressOf.delete(session)
    const sessions = byAddress.get(address)
    sessions?.delete(session)
    if (sessions?.size === 0) byAddress.delete(address)
    return true
  }
  const sizeOf = (address: string): number => byAddress.get(address)?.size ?? 0
  /** The address with most of them, the newcomer being one of its own. */
  const fullest = (newcomer: string): string => {
    let found = newcomer
    let most = sizeOf(newcomer) + 1
    for (const [address, { size }] of byAddress) if (size > most) [found, most] = [address, size]
    return found
  }
  /** @returns whether there is room now */
  const dropOldest = (address: string, newcomer: string): boolean => {
    const [oldest] = byAddress.get(address) ?? []
    if (oldest === undefined) return false
    if (address === newcomer && now() - (begun.get(oldest) ?? 0) < SILENT_MS) return false
    remove(oldest)
    oldest.close('tryLater', CROWDED)
    return true
  }

  return {
    /**
     * Takes a session in, or closes it where there is no room.
     * @param address who it counts as
     * @param counted whether limits by address hold for it
     */
    add(session: UnprovenSession, address: string, counted: boolean): void {
      const isFull = counted && sizeOf(address) >= mostOfAddress
      const from = isFull ? address : addressOf.size >= most ? fullest(address) : null
      if (from !== null && !dropOldest(from, address)) return session.close('tryLater', CROWDED)
      const sessions = byAddress.get(address) ?? new Set()
      sessions.add(session)
      byAddress.set(address, sessions)
      addressOf.set(session, address)
      begun.set(session, now())
    },
    /** It has shown who it is, or is gone. @returns whether it was here */
    remove,
    size: () => addressOf.size,
  }
}
