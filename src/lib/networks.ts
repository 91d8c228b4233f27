import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** A network: all addresses whose first bits are these. */
export interface AddressRange {
  address: ipaddr.IPv4 | ipaddr.IPv6
  bits: number
}

/** What is expected where a network is configured. */
export const NETWORK = 'must be a network such as "10.0.0.0/8" or "fd00::/8", or one address'

/** A network as it is written, `10.0.0.0/8`, or one address. null for what is none, also for `/0`: a list that names everybody is a mistake. */
export function parseNetwork(text: string): AddressRange | null {
  const [, base = '', length] = /^([0-9a-f.:]+)(?:\/(\d{1,3}))?$/i.exec(text) ?? []
  if (!isAddress(base)) return null
  const address = ipaddr.parse(base)
  const all = address.kind() === 'ipv4' ? 32 : 128
  const bits = length === undefined ? all : Number(length)
  if (bits < 1 || bits > all) return null
  if (!(address instanceof ipaddr.IPv6) || !address.isIPv4MappedAddress()) return { address, bits }
  // An IPv4 address counts as such, however it is written.
  return bits > 96 ? { address: address.toIPv4Address(), bits: bits - 96 } : null
}

/** The one form an address is compared in, IPv4 within IPv6 as IPv4; null for what is none. */
export const canonicalAddress = (text: string): string | null => parse(text)?.toString() ?? null

const parse = (text: string): ipaddr.IPv4 | ipaddr.IPv6 | null => (isAddress(text) ? ipaddr.process(text) : null)

/** ipaddr.js takes more than is an address, such as `10.1`, and takes `::10.0.0.1`, which nobody has, for 10.0.0.1. */
const isAddress = (text: string): boolean => isIP(text) !== 0 && ipaddr.isValid(text) && !/^::\d+\./.test(text)

/** Whether an address, or a text that is none, is in one of the networks. */
export type InNetworks = (address: string | undefined) => boolean

/** @param networks as they are configured; what is no network is left out, so let the configuration refuse it before */
export function createNetworks(networks: readonly string[]): InNetworks {
  const parsed = networks.flatMap((text) => parseNetwork(text) ?? [])
  if (parsed.length === 0) return () => false
  return (address = '') => {
    const ip = parse(address)
    return ip !== null && parsed.some((n) => isIn(ip, n))
  }
}

/** Of two kinds none is in the other. */
const isIn = (ip: ipaddr.IPv4 | ipaddr.IPv6, { address, bits }: AddressRange): boolean =>
  ip.kind() === address.kind() && ip.match(address, bits)
