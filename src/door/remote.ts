import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { createKeysOf, type AddressKeys } from '../lib/address.js'
import { createNetworks, type InNetworks } from '../lib/networks.js'
import { createProxyReader, type Caller as Forwarded } from '../lib/proxies.js'

/** Where a request comes from, as far as it can be believed. */
export interface Remote extends Forwarded {
  /** Who limits by address count it as. */
  keys: AddressKeys
}

export interface Remotes {
  of(request: IncomingMessage): Remote
  /** Who a connection counts as of which nothing was read yet: nobody where a proxy has opened it for others. */
  keysOfPeer(address: string | undefined): AddressKeys
}

/**
 * Tells where requests come from. What comes through a trusted proxy counts as its client, also where that is loopback, for
 * then others reach it there.
 * @param trustedProxies networks
 * @param countLoopback whether limits by address hold for loopback too, each of its addresses for itself
 */
export function createRemotes(trustedProxies: readonly string[], countLoopback: boolean): Remotes {
  const isProxy: InNetworks = createNetworks(trustedProxies)
  const read = createProxyReader(isProxy)
  const keysOf = createKeysOf(countLoopback)
  const keysOfProxied = createKeysOf(true)
  return {
    of({ socket, headers }) {
      const remote = read({
        peer: socket.remoteAddress,
        headers,
        secure: (socket as Partial<TLSSocket>).encrypted === true,
      })
      return { ...remote, keys: (remote.proxied ? keysOfProxied : keysOf)(remote.address) }
    },
    keysOfPeer: (address) => (isProxy(address) ? [] : keysOf(address)),
  }
}
