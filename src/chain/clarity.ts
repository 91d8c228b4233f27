import { createReader, hexByte, type Reader } from './byte-reader.js'
import { principalOf } from './address.js'
import type { Versioned } from './c32.js'

/** What is no value of Clarity, or not the one that was expected; the message says where and why. */
export class ClarityError extends Error {
  override name = 'ClarityError'
}

/** The values of Clarity that the chain's answers and events to us are made of. */
export type ClarityValue =
  | { type: 'uint'; value: bigint }
  | { type: 'buffer'; value: Buffer }
  | { type: 'bool'; value: boolean }
  | { type: 'principal'; value: Versioned }
  | { type: 'none' }
  | { type: 'some' | 'ok' | 'err'; value: ClarityValue }
  | { type: 'tuple'; value: ReadonlyMap<string, ClarityValue> }

/** Far above every value that is read here, and far below what costs time. */
const MAX_BYTES = 4096
const MAX_DEPTH = 16
const MAX_FIELDS = 64
const NAME = /^[a-zA-Z][a-zA-Z0-9_!?+<>=/*-]{0,127}$/

/**
 * A value from its serialized form, hex with or without 0x.
 * @throws ClarityError where it is none of those, has more than 4096 bytes or 16 levels, or goes on after its end
 */
export function parseClarity(hex: string): ClarityValue {
  const digits = hex.startsWith('0x') ? hex.slice(2) : hex
  if (digits.length > MAX_BYTES * 2) throw new ClarityError(`value: must have at most ${MAX_BYTES} bytes`)
  if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) throw new ClarityError('value: must be bytes in hex')
  const read = createReader(Buffer.from(digits, 'hex'), (message) => new ClarityError(message))
  const value = readValue(read, 'value', MAX_DEPTH)
  const left = read.left()
  if (left > 0) throw new ClarityError(`value: must end after its last field; bytes left over: ${left}`)
  return value
}

/** The argument of a read-only call: a standard principal, hex with 0x. @throws ClarityError for what is no address */
export function principalArgument(address: string): string {
  const principal = principalOf(address)
  if (principal === null)
    throw new ClarityError('address: must be one of Stacks, such as ST… or SP…, with its checksum')
  return `0x05${hexByte(principal.version)}${principal.hash160}`
}

/** What a node has staked. Heights and period in burn blocks. */
export interface Stake {
  /** micro-STX. */
  amount: bigint
  lockStart: bigint
  lockPeriod: bigint
  /** From this height on it can be taken away at once. */
  unlockHeight: bigint
  /** As it was staked for, without the zeros it is padded with; bytes that are no UTF-8 are replaced. */
  nodeId: string
}

/**
 * The answer to `infer-get-stake-info`; null for who has staked nothing.
 * @param resultHex the `result` of the call
 * @throws ClarityError for every other value
 */
export function readStake(resultHex: string): Stake | null {
  const result = parseClarity(resultHex)
  if (result.type === 'none') return null
  if (result.type !== 'some' || result.value.type !== 'tuple')
    throw new ClarityError('stake: must be none, or some tuple')
  const fields = result.value.value
  const uint = (name: string): bigint => {
    const field = fields.get(name)
    if (field?.type !== 'uint') throw new ClarityError(`stake: ${name} must be a uint`)
    return field.value
  }
  const nodeId = fields.get('node-id')
  if (nodeId?.type !== 'buffer') throw new ClarityError('stake: node-id must be a buffer')
  return {
    amount: uint('amount-ustx'),
    lockStart: uint('lock-start'),
    lockPeriod: uint('lock-period'),
    unlockHeight: uint('unlock-height'),
    nodeId: nodeId.value.toString('utf8').replace(/\0+$/, ''),
  }
}

/** @param levels how many more may be inside of each other */
function readValue(read: Reader, field: string, levels: number): ClarityValue {
  if (levels === 0) throw new ClarityError(`${field}: must have at most ${MAX_DEPTH} levels`)
  const type = read.byte(field)
  switch (type) {
    case 0x01:
      return { type: 'uint', value: BigInt(`0x${read.take(field, 16).toString('hex')}`) }
    case 0x02:
      return { type: 'buffer', value: read.take(field, read.take(field, 4).readUInt32BE()) }
    case 0x03:
    case 0x04:
      return { type: 'bool', value: type === 0x03 }
    case 0x05:
      return { type: 'principal', value: readPrincipal(read, field) }
    case 0x07:
      return { type: 'ok', value: readValue(read, field, levels - 1) }
    case 0x08:
      return { type: 'err', value: readValue(read, field, levels - 1) }
    case 0x09:
      return { type: 'none' }
    case 0x0a:
      return { type: 'some', value: readValue(read, field, levels - 1) }
    case 0x0c:
      return { type: 'tuple', value: readTuple(read, field, levels - 1) }
    default:
      throw new ClarityError(`${field}: is of type ${hexByte(type)}, which is not read here`)
  }
}

function readPrincipal(read: Reader, field: string): Versioned {
  const version = read.byte(field)
  if (version > 31) throw new ClarityError(`${field}: the version of a principal must be at most 31; it is ${version}`)
  return { version, hash160: read.take(field, 20).toString('hex') }
}

function readTuple(read: Reader, field: string, levels: number): ReadonlyMap<string, ClarityValue> {
  const count = read.take(field, 4).readUInt32BE()
  if (count > MAX_FIELDS)
    throw new ClarityError(`${field}: a tuple must have at most ${MAX_FIELDS} fields; it has ${count}`)
  const fields = new Map<string, ClarityValue>()
  for (let i = 0; i < count; i++) {
    const name = read.take(field, read.byte(field)).toString('latin1')
    if (!NAME.test(name)) throw new ClarityError(`${field}: the name of field ${i + 1} of a tuple is none`)
    if (fields.has(name)) throw new ClarityError(`${field}: has ${name} twice`)
    fields.set(name, readValue(read, name, levels))
  }
  return fields
}
