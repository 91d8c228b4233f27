import type { HttpBindings } from '@hono/node-server'
import type { MiddlewareHandler } from 'hono'
import { isLoopback } from '../lib/address.js'
import { createRate } from '../lib/rate.js'
import { refuse } from '../lib/result.js'
import { fail } from './answers.js'

/** Addresses that are remembered at once; when there are more, all are forgotten, which only ever lets more through. */
const MAX_ADDRESSES = 50_000

/**
 * Refuses more than `perSecond` requests a second from one address, over ten seconds. 0 = no limit.
 * @param now ms, monotonic
 * @param isLocal addresses that are not counted
 */
export function limitRate(
  perSecond: number,
  now: () => number,
  isLocal: (address: string) => boolean = isLoopback,
): MiddlewareHandler<{ Bindings: Partial<HttpBindings> }> {
  const rates = new Map<string, () => boolean>()
  return async (c, next) => {
    // One that has reset its connection has no address any more: all of those are counted as one.
    const address = c.env.incoming?.socket.remoteAddress ?? ''
    if (perSecond === 0 || isLocal(address)) return next()
    let withinRate = rates.get(address)
    if (withinRate === undefined) {
      if (rates.size >= MAX_ADDRESSES) rates.clear()
      withinRate = createRate(perSecond, now)
      rates.set(address, withinRate)
    }
    return withinRate()
      ? next()
      : fail(
          c,
          refuse(
            'rate_limited',
            `more than ${perSecond} requests a second from ${address}; send fewer, or many submissions in one batch`,
          ),
        )
  }
}
