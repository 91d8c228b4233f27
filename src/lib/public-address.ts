import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6

/** What is routed on the public internet begins with 001: everything else has another meaning, or none yet. */
const GLOBAL_UNICAST: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3]
const NAT64: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('64:ff9b::'), 96]

/**
 * Whether an address is one of the public internet. An address of IPv6 that leads to one of IPv4 is judged by that one: mapped, NAT64,
 * 6to4, Teredo (of which both must be public, the server and the client).
 */
export function isPublicAddress(text: string): boolean {
  // ipaddr.js takes more than is an address, also `::10.0.0.1` for 10.0.0.1, to which it does not lead.
  if (isIP(text) === 0 || !ipaddr.isValid(text) || /^::\d+\./.test(text)) return false
  return isPublic(ipaddr.parse(text))
}

function isPublic(address: Address): boolean {
  const range = address.range()
  if (!(address instanceof ipaddr.IPv6)) return range === 'unicast'
  const inner = carriedBy(address, range)
  if (inner.length > 0) return inner.every(isPublic)
  return range === 'unicast' && address.match(GLOBAL_UNICAST)
}

/** The addresses of IPv4 that one of IPv6 leads to. */
function carriedBy(address: ipaddr.IPv6, range: string): ipaddr.IPv4[] {
  const bytes = address.toByteArray()
  const at = (place: number): ipaddr.IPv4 => new ipaddr.IPv4(bytes.slice(place, place + 4))
  if (range === 'ipv4Mapped' || (range === 'rfc6052' && address.match(NAT64))) return [at(12)]
  if (range === '6to4') return [at(2)]
  // The client's is written with every bit turned.
  if (range === 'teredo') return [at(4), new ipaddr.IPv4(bytes.slice(12).map((byte) => byte ^ 0xff))]
  return []
}
