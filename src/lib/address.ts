import ipaddr from 'ipaddr.js'

/** Whether a socket's address is this machine's own. Also for IPv4 written as IPv6. */
export const isLoopback = (address: string): boolean => address === '::1' || /^(?:::ffff:)?127\./i.test(address)

/** One of those that a limit by address counts an address as, and how many times the limit it may take. */
export interface AddressKey {
  key: string
  times: number
}
export type AddressKeys = readonly AddressKey[]

/** Who limits by address count an address as; nobody where they do not count it. */
export type KeysOf = (address: string | undefined) => AddressKeys

const NOBODY: AddressKeys = []
/** A socket that was reset has no address any more: all of those count as one. */
const UNKNOWN: AddressKeys = [{ key: '', times: 1 }]

/** Whoever has one address of IPv6 has the /64 around it, and often the /48: that may take 16 times as much. */
const PREFIXES = [
  { bits: 64, times: 1 },
  { bits: 48, times: 16 },
] as const

/** @param countLoopback whether limits by address hold for loopback too, each of its addresses for itself */
export function createKeysOf(countLoopback: boolean): KeysOf {
  return (address = '') => {
    if (!countLoopback && isLoopback(address)) return NOBODY
    if (!address.includes(':')) return address === '' ? UNKNOWN : [{ key: address, times: 1 }]
    if (!ipaddr.IPv6.isValid(address)) return UNKNOWN
    const ip = ipaddr.IPv6.parse(address)
    if (ip.isIPv4MappedAddress()) return [{ key: ip.toIPv4Address().toString(), times: 1 }]
    return PREFIXES.map(({ bits, times }) => ({
      key: `${new ipaddr.IPv6(ip.toByteArray().map((byte, i) => (i * 8 < bits ? byte : 0))).toString()}/${bits}`,
      times,
    }))
  }
}
