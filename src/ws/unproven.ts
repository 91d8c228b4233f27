import type { CloseReason } from '../wire/codes.js'

/** A session that has not shown yet who it is. */
export interface UnprovenSession {
  close(reason: CloseReason, text: string): void
}

export type Unproven = ReturnType<typeof createUnproven>

const CROWDED = 'too many sessions have not said who they are; say it at once'

/**
 * The sessions that have proven nothing, by address. There is always room for one more: for it the oldest of the address with
 * most of them goes, so that who says at once who he is gets in, whatever others do.
 * @param most of all
 */
export function createUnproven(most: number, mostOfAddress: number) {
  /** The oldest first. */
  const byAddress = new Map<string, Set<UnprovenSession>>()
  const addressOf = new Map<UnprovenSession, string>()

  const remove = (session: UnprovenSession): boolean => {
    const address = addressOf.get(session)
    if (address === undefined) return false
    addressOf.delete(session)
    const sessions = byAddress.get(address)
    sessions?.delete(session)
    if (sessions?.size === 0) byAddress.delete(address)
    return true
  }
  const fullest = (): Set<UnprovenSession> | undefined => {
    let found: Set<UnprovenSession> | undefined
    for (const sessions of byAddress.values()) if (sessions.size > (found?.size ?? 0)) found = sessions
    return found
  }
  const dropOldest = (sessions: Set<UnprovenSession> | undefined): void => {
    const [oldest] = sessions ?? []
    if (oldest !== undefined && remove(oldest)) oldest.close('tryLater', CROWDED)
  }

  return {
    /**
     * @param address who it counts as
     * @param counted whether limits by address hold for it
     */
    add(session: UnprovenSession, address: string, counted: boolean): void {
      if (counted && (byAddress.get(address)?.size ?? 0) >= mostOfAddress) dropOldest(byAddress.get(address))
      if (addressOf.size >= most) dropOldest(fullest())
      const sessions = byAddress.get(address) ?? new Set()
      sessions.add(session)
      byAddress.set(address, sessions)
      addressOf.set(session, address)
    },
    /** It has shown who it is, or is gone. @returns whether it was here */
    remove,
    size: () => addressOf.size,
  }
}
