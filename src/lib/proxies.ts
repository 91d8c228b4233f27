import type { IncomingHttpHeaders } from 'node:http'
import { canonicalAddress, type InNetworks } from './networks.js'

/** Who a request is from, and how it was asked for, as far as that can be believed. */
export interface Caller {
  /** The client's address; undefined when its connection is gone. */
  address: string | undefined
  /** The host it asked for, with its port where it named one. Not checked in any way. */
  host: string | undefined
  /** How it reached us, or the proxy before us; undefined where the proxy does not say. */
  proto: 'http' | 'https' | undefined
  /** Whether a trusted proxy stands between. */
  proxied: boolean
}

/** What of a request tells that. */
export interface Received {
  /** The other end of the socket. */
  peer: string | undefined
  headers: IncomingHttpHeaders
  /** Whether the socket is TLS. */
  secure: boolean
}

/** How many proxies may stand one behind the other; the address before so many is not looked for. */
const MAX_HOPS = 16

/**
 * Reads X-Forwarded-For, -Host and -Proto where they can be believed: from a peer that is a trusted proxy. Anybody can send
 * these headers, and proxies add to what they were sent; so of several values that count which the proxies next to us wrote, and
 * these are to the right.
 * @param isTrusted the networks of `trusted_proxies`
 */
export function createProxyReader(isTrusted: InNetworks): (received: Received) => Caller {
  return ({ peer, headers, secure }) => {
    if (!isTrusted(peer)) return { address: peer, host: headers.host, proto: secure ? 'https' : 'http', proxied: false }
    return {
      address: clientOf(peer, one(headers['x-forwarded-for'])),
      host: last(one(headers['x-forwarded-host'])) ?? headers.host,
      proto: protoOf(last(one(headers['x-forwarded-proto']))),
      proxied: true,
    }
  }

  /** The first from the right that is no proxy of ours; the farthest proxy where there is none, or what stands there is no address. */
  function clientOf(peer: string | undefined, forwarded: string): string | undefined {
    let found = peer
    let end = forwarded.length
    for (let hop = 0; hop < MAX_HOPS && end >= 0; hop++) {
      const comma = end === 0 ? -1 : forwarded.lastIndexOf(',', end - 1)
      const address = addressOf(forwarded.slice(comma + 1, end).trim())
      if (address === null) return found
      found = address
      if (!isTrusted(address)) return found
      end = comma
    }
    return found
  }
}

/** The longest address with brackets and a port. */
const MAX_ADDRESS = 64

/** Some proxies write the port too: `192.0.2.1:5000`, `[2001:db8::1]:5000`. */
function addressOf(text: string): string | null {
  if (text.length > MAX_ADDRESS) return null
  const [, v6, v4] = /^\[([^\]]*)\](?::\d+)?$|^([\d.]+):\d+$/.exec(text) ?? []
  return canonicalAddress(v6 ?? v4 ?? text)
}

/** node:http joins a header that came more than once, by its type as a list; either way the last one is to the right. */
const one = (header: string | string[] | undefined): string =>
  Array.isArray(header) ? header.join(',') : (header ?? '')

/** The last of a list; undefined when that is empty. */
function last(list: string): string | undefined {
  const value = list.slice(list.lastIndexOf(',') + 1).trim()
  return value === '' ? undefined : value
}

function protoOf(value: string | undefined): Caller['proto'] {
  const proto = value?.toLowerCase()
  return proto === 'http' || proto === 'https' ? proto : undefined
}
