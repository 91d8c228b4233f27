import { holdersOf } from '../door/token-limits.js'
import { refuse, type RateLimit, type Refusal } from '../lib/result.js'
import { BURST_SECONDS } from '../lib/rate.js'
import type { Exchange } from './exchange.js'
import { STRANGERS, TOO_FAST, TOO_MANY_BYTES } from './limits.js'

const policy = (name: RateLimit['name'], perSecond: number): { limit: RateLimit } => ({
  limit: { name, quota: perSecond * BURST_SECONDS, window: BURST_SECONDS },
})

/** Counts so many requests, of the address and of the token. @returns why they are refused; null when they are not */
export function takeRequests({ limits, keys, by, isStranger }: Exchange, n = 1): Refusal | null {
  if (n <= 0) return null
  if (isStranger && !limits.strangers(keys, n))
    return { ...TOO_FAST_WITHOUT_TOKEN, limit: { name: 'address', quota: STRANGERS.burst, window: STRANGERS.window } }
  if (!limits.requests(keys, n)) return { ...TOO_FAST, ...policy('address', limits.requestsPerSecond) }
  const { rate } = by.principal.limits
  return limits.tokens.requests(holdersOf(by.principal, 'rate'), n)
    ? null
    : { ...tokenRefusal('requests', 'rate', rate), ...policy('token', rate ?? 0) }
}

/** The same of bytes of bodies. */
export function takeBytes({ limits, keys, by }: Exchange, n: number): Refusal | null {
  if (!limits.requestBytes(keys, n)) return TOO_MANY_BYTES
  const { bytes_per_second } = by.principal.limits
  return limits.tokens.bytes(holdersOf(by.principal, 'bytes_per_second'), n)
    ? null
    : tokenRefusal('bytes', 'bytes_per_second', bytes_per_second)
}

const TOO_FAST_WITHOUT_TOKEN = refuse(
  'rate_limited',
  `more than ${STRANGERS.perSecond} requests a second from this address without a token; send fewer, or show a token`,
)
const tokenRefusal = (what: string, limit: string, most: number | null): Refusal =>
  refuse(
    'rate_limited',
    `more than ${most} ${what} a second with this token (${limit}); send fewer, or ask for a higher limit`,
  )
