import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import type { Remote } from '../door/remote.js'
import { refuse, type Refusal } from '../lib/result.js'

export interface OriginGuardParts {
  /** The address or name that is listened on. */
  apiHost: string
  /** Names under which the service is reached, each with or without a port. */
  publicHosts: readonly string[]
  /** Origins of web pages that may use the service. */
  corsOrigins: readonly string[]
  /** Whether connections are TLS. */
  secure: boolean
}

/** What of a request is looked at. */
export type GuardedRequest = Pick<IncomingMessage, 'headers' | 'rawHeaders' | 'url'>
/** How it has reached the service: a trusted proxy says what it was asked for. */
export type Reached = Pick<Remote, 'host' | 'proto' | 'proxied'>
const reachedDirectly = ({ headers }: GuardedRequest): Reached => ({
  host: headers.host,
  proto: undefined,
  proxied: false,
})
export type OriginGuard = ReturnType<typeof createOriginGuard>

/** How much of a stranger's header an answer repeats. */
const MAX_SHOWN = 100

/**
 * Keeps web pages out that are not the service's own: a browser lets any page send requests to any address its user can
 * reach, also to loopback. A browser says which page asks in `Origin` or `Sec-Fetch-Site`; programs send neither, and are not
 * asked for them. `Host` has to be ours, for a page can make its own name point to this machine (DNS rebinding) and is then of
 * the same origin. An IP address cannot be rebound, so it always passes.
 */
export function createOriginGuard({ apiHost, publicHosts, corsOrigins, secure }: OriginGuardParts) {
  const names = new Set(['localhost', apiHost.toLowerCase(), ...publicHosts.map((host) => nameOf(host.toLowerCase()))])
  const listed = new Set(corsOrigins)
  const scheme = secure ? 'https' : 'http'
  const isForeign = (
    origin: string | undefined,
    site: string | string[] | undefined,
    host: string | undefined,
    reachedBy: 'http' | 'https' | undefined,
  ): boolean => {
    if (site === 'same-origin') return false
    if (origin === undefined) return site !== undefined && site !== 'none'
    // A proxy that does not say may do TLS or not.
    const schemes = reachedBy === undefined ? ['http', 'https'] : [reachedBy]
    return !listed.has(origin) && !schemes.some((own) => origin === `${own}://${host?.toLowerCase() ?? ''}`)
  }
  return {
    /** Why a request or an upgrade is refused, as a sentence that names the setting; null when it is not. */
    judge(request: GuardedRequest, { host, proto, proxied }: Reached = reachedDirectly(request)): Refusal | null {
      const { headers } = request
      const { origin } = headers
      const site = headers['sec-fetch-site']
      const ambiguity = ambiguityOf(request)
      if (ambiguity !== null) return refuse('invalid_request', ambiguity)
      // A request without a Host is no HTTP/1.1, and no browser's: the listener answers it.
      if (host !== undefined && !isOwnName(nameOf(host.toLowerCase()), names)) {
        return refuse(
          'wrong_host',
          `this service is not known as ${shown(host)}; if it should be, put ${shown(host)} into inference.public_hosts`,
        )
      }
      if (!isForeign(origin, site, host, proxied ? proto : scheme)) return null
      return refuse(
        'forbidden_origin',
        origin === undefined || origin === 'null'
          ? 'a web page of another origin may not ask this service; put its origin, such as "https://dashboard.example.org", into inference.cors_origins, and ask with fetch in mode "cors"'
          : `web pages of ${shown(origin)} may not ask this service; if they should, put ${shown(origin)} into inference.cors_origins`,
      )
    },
    /** Whether pages of this origin may read the answers. */
    isListed: (origin: string | undefined): origin is string => origin !== undefined && listed.has(origin),
    /** Whether answers differ by the origin that asks. */
    varies: listed.size > 0,
  }
}

const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?=\/|$)/i
const ABSOLUTE = /^https?:\/\/([^/?#]*)/i

/**
 * Why a request says two things at once, as a sentence; null when it does not. A proxy that takes the one and a service that takes the
 * other are how rules about hosts and paths are got round.
 */
function ambiguityOf({ headers, rawHeaders, url = '' }: GuardedRequest): string | null {
  const { host } = headers
  if (host?.includes(',') === true || countHosts(rawHeaders) > 1) return 'Host: must be one host'
  const authority = url.startsWith('/') ? undefined : ABSOLUTE.exec(url)?.[1]
  if (authority !== undefined && authority.toLowerCase() !== host?.toLowerCase())
    return 'Host: must be the host of the URL that is asked for'
  const path = /^[^?#]*/.exec(url)?.[0] ?? ''
  return DOT_SEGMENT.test(path) ? 'the path must have no segments "." and ".."' : null
}

/** node:http passes over all but the first. */
function countHosts(rawHeaders: readonly string[]): number {
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts
}

const shown = (text: string): string => JSON.stringify(text.slice(0, MAX_SHOWN))

/** A Host without its port, and an IPv6 address without its brackets. */
const nameOf = (host: string): string => {
  const name = host.replace(/:\d*$/, '')
  return name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : name
}
const isOwnName = (name: string, names: ReadonlySet<string>): boolean => names.has(name) || isIP(name) !== 0
