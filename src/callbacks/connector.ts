import { Resolver } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import { isPublicAddress } from '../lib/public-address.js'

/** How long a server of names may take, ms, and how often it is asked. */
const NAME_MS = 2000
const NAME_TRIES = 2

/** There is no address that may be called. The message says so, and nothing that a stranger should not learn. */
export class AddressError extends Error {}

/** All addresses of a name; none where there is none, or nobody tells. */
export type ResolveName = (hostname: string) => Promise<string[]>

/**
 * Asks the name servers, not the system: that has four threads for this and for files, which a name that is never answered would
 * hold; and its own names (`hosts`) are of this machine and the networks around it.
 */
export function createNames(): { resolve: ResolveName; close(): void } {
  const resolver = new Resolver({ timeout: NAME_MS, tries: NAME_TRIES })
  const resolve: ResolveName = async (hostname) => {
    const name = hostname.replace(/\.$/, '')
    // These are this machine, whatever a server says (RFC 6761).
    if (/(?:^|\.)localhost$/i.test(name)) return ['127.0.0.1', '::1']
    const found = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
    return found.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  }
  return { resolve, close: () => resolver.cancel() }
}

export interface ConnectorParts {
  /** How long it may take to connect, ms. */
  timeout: number
  resolve: ResolveName
  isAllowed?: (address: string) => boolean
}

/**
 * Connects to public addresses only. What a name leads to is judged here, and what was judged is what is connected to: a name that
 * says something else the next time gains nothing. Addresses that are written as such are judged too, which are not looked up.
 */
export function createPublicConnector({
  timeout,
  resolve,
  isAllowed = isPublicAddress,
}: ConnectorParts): buildConnector.connector {
  const lookup: LookupFunction = (hostname, { all }, callback) => {
    const answer = (addresses: readonly string[]): void => {
      const allowed = addresses.filter(isAllowed).map((address) => ({ address, family: isIP(address) }))
      const [first] = allowed
      if (first === undefined) {
        // Whether there are others would tell what names and addresses there are within.
        callback(new AddressError(`${hostname} has no public address, or its name cannot be looked up now`), '', 0)
      } else if (all === true) callback(null, allowed)
      else callback(null, first.address, first.family)
    }
    resolve(hostname).then(answer, () => answer([]))
  }
  const connect = buildConnector({ timeout, lookup, maxCachedSessions: 0 })
  return (options, callback) => {
    const address = options.hostname.replace(/^\[|\]$/g, '')
    if (isIP(address) !== 0 && !isAllowed(address))
      return callback(new AddressError(`${address} is no public address`), null)
    connect(options, (...[error, socket]) => {
      if (error !== null) return callback(error, null)
      // The last word has the connection itself.
      if (isAllowed(socket.remoteAddress ?? '')) return callback(null, socket)
      socket.destroy()
      callback(new AddressError(`${options.hostname} has no public address`), null)
    })
  }
}
