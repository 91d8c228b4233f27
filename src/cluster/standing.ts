import { PRESENT_MS, type Member } from './presence.js'

/** What a follower knows when it decides whether to take over; times in ms. */
export interface Standing {
  /** For how long it has had a connection to the log. */
  connectedFor: number
  /** For how long no owner was heard; Infinity: never. */
  ownerSilentFor: number
  /** The owner that was heard last; null: none. */
  owner: Pick<Member, 'leaving' | 'n'> | null
  /** The newest record of its own file. */
  n: number
  /** How many of the other followers go before it. */
  rank: number
  /** Another that follows has records that it has not: an owner that gave the work up, and the only one that can give a log again what that has lost. */
  isBehind: boolean
  /** It has owned the work until its process ended, and nobody has taken it over: it only comes back. */
  isFormerOwner: boolean
  /** The journal has no owner yet: it was just made. */
  isFirst: boolean
}

/** Who has more goes first for so many times `takeoverAfter`: an append of it may take half of that. */
const BEHIND_TAKEOVERS = 2

/**
 * Whether a follower tries to take over now. Nothing is decided by that: the log's compare-and-set lets one of them through, and only
 * when it has read everything.
 * @param takeoverAfter how long an owner may be silent, ms; each follower that goes before adds half of it, one that has more twice as much
 */
export function mayClaim(s: Standing, takeoverAfter: number): boolean {
  if (s.owner?.leaving === true && s.ownerSilentFor < takeoverAfter) return s.rank === 0 && s.n >= s.owner.n
  const silent = Math.min(s.connectedFor, s.ownerSilentFor)
  if ((s.isFirst && !s.isBehind) || s.isFormerOwner) return s.ownerSilentFor > PRESENT_MS
  return silent >= takeoverAfter * (1 + s.rank / 2 + (s.isBehind ? BEHIND_TAKEOVERS : 0))
}
