import { createTokenLimits, type TokenLimits } from '../door/token-limits.js'
import type { LimitFigures } from '../core/watching/reports.js'
import { createBudget, type Budget, type BudgetHolder } from '../lib/budget.js'
import { createAddressRate, type AddressRate } from '../lib/rate.js'
import { refuse, type Refusal } from '../lib/result.js'
import { createTimeShares, type TimeShares } from '../lib/time-shares.js'

/** The share of what may be received that large bodies may take. */
const LARGE_SHARE = 7 / 8

/** Requests of one address without a good token, in all; so many at once; and in how many seconds they are given back. */
export const STRANGERS = { perSecond: 20, burst: 100, window: 5 }

/** The most connections beside those of sessions. */
const MAX_REST_CONNECTIONS = 10_000

/** The settings of limits by address and for the whole service; numbers of bytes unless named otherwise. */
export interface LimitSettings {
  max_requests_per_second: number
  max_request_bytes_per_second: number
  max_connections_per_address: number
  max_sessions: number
  max_receiving_bytes: number
  max_receiving_bytes_per_address: number
  max_unsent_bytes: number
  max_unsent_bytes_per_address: number
}

/** What is scarce, and counted for each address and for the whole service: shared by REST and sessions. */
export interface Limits {
  requests: AddressRate
  /** What `requests` lets through. */
  requestsPerSecond: number
  /** Requests of who shows no token, where authentication is on. */
  strangers: AddressRate
  /** Bytes of bodies. */
  requestBytes: AddressRate
  /** Connections that have proven nothing. */
  connections: Budget
  /** The most of all addresses together. */
  mostConnections: number
  /** Bytes of bodies and of messages that are not whole yet. */
  receiving: Budget
  /** Those of large bodies, which leave some of it to small ones: who sends few bytes is not kept out by who never ends. */
  receivingLarge: Budget
  /** Bytes of answers that wait for their readers. */
  unsent: Budget
  /** Requests and bytes of each token. */
  tokens: TokenLimits
  /** Time of the event loop. */
  time: TimeShares
  /** How much of what is limited for the whole service is taken. @param open connections and sessions that are */
  taken(open: { connections: number; sessions: number }): LimitFigures[]
}

/**
 * @param largest the largest body or message that may come: one of it is always taken, if it is the only one
 * @param now ms, monotonic
 */
export function createLimits(s: LimitSettings, largest: number, now: () => number): Limits {
  const mostConnections = s.max_sessions + MAX_REST_CONNECTIONS
  const mostReceiving = Math.max(s.max_receiving_bytes, largest)
  const receiving = createBudget({
    address: Math.max(s.max_receiving_bytes_per_address, largest),
    service: mostReceiving,
  })
  const unsent = createBudget({ address: s.max_unsent_bytes_per_address, service: s.max_unsent_bytes })
  return {
    requests: createAddressRate(s.max_requests_per_second, now),
    requestsPerSecond: s.max_requests_per_second,
    strangers: createAddressRate(STRANGERS.perSecond, now, STRANGERS.burst),
    requestBytes: createAddressRate(s.max_request_bytes_per_second, now),
    connections: createBudget({ address: s.max_connections_per_address, service: Infinity }),
    mostConnections,
    receiving,
    receivingLarge: createBudget({
      address: Infinity,
      service: Math.max(s.max_receiving_bytes * LARGE_SHARE, largest),
    }),
    unsent,
    tokens: createTokenLimits(now),
    time: createTimeShares(),
    taken: (open) => [
      { limit: 'connections', used: open.connections, most: mostConnections },
      { limit: 'max_sessions', used: open.sessions, most: s.max_sessions },
      { limit: 'max_receiving_bytes', used: receiving.total(), most: mostReceiving },
      { limit: 'max_unsent_bytes', used: unsent.total(), most: s.max_unsent_bytes },
    ],
  }
}

export const TOO_FAST = refuse(
  'rate_limited',
  'too many requests from this address; send fewer, or many submissions in one batch (max_requests_per_second)',
)
export const TOO_MANY_UNANSWERED = refuse(
  'rate_limited',
  'too many requests on one connection before their answers; wait for some, or use more connections',
)
export const TOO_MANY_BYTES = refuse(
  'rate_limited',
  'too many bytes from this address in too short a time; send slower (max_request_bytes_per_second)',
)
/** A request that would take more of what is being received than there is. */
export const cannotReceive = (holder: BudgetHolder): Refusal =>
  holder === 'address'
    ? refuse(
        'rate_limited',
        'too many bytes are on their way from this address; send fewer requests at once (max_receiving_bytes_per_address)',
      )
    : refuse('unavailable', 'too many bytes are on their way to this service; send again in a few seconds')
/** A request whose answer would wait behind too many others. */
export const cannotAnswer = (holder: BudgetHolder): Refusal =>
  holder === 'address'
    ? refuse(
        'rate_limited',
        'too many answers wait to be read by this address; read them first (max_unsent_bytes_per_address)',
      )
    : refuse('unavailable', 'too many answers wait for their readers; ask again in a few seconds')
export const TOKEN_READS_TOO_LITTLE = refuse(
  'rate_limited',
  'too many answers wait to be read with this token; read them first (unsent_bytes)',
)
