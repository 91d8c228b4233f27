import { encodeC32 } from '../../chain/c32.js'

/** What a node has staked, in micro-STX and burn blocks. */
export interface StakeOf {
  amount: bigint
  lockPeriod: number
  lockStart: number
  /** At most 32 bytes. */
  nodeId: string
  unlockHeight: number
}

const uint = (value: bigint | number): string => `01${BigInt(value).toString(16).padStart(32, '0')}`
const buffer = (text: string, bytes: number): string => {
  const padded = Buffer.alloc(bytes)
  padded.write(text)
  return `02${bytes.toString(16).padStart(8, '0')}${padded.toString('hex')}`
}

/** The answer of the contract, as a value of Clarity in hex: some tuple, or none. */
export function stakeValue(stake: StakeOf | undefined): string {
  if (stake === undefined) return '0x09'
  const fields = {
    'amount-ustx': uint(stake.amount),
    'lock-period': uint(stake.lockPeriod),
    'lock-start': uint(stake.lockStart),
    'node-id': buffer(stake.nodeId, 32),
    'unlock-height': uint(stake.unlockHeight),
  }
  const written = Object.entries(fields).map(
    ([name, value]) => name.length.toString(16).padStart(2, '0') + Buffer.from(name).toString('hex') + value,
  )
  return `0x0a0c${written.length.toString(16).padStart(8, '0')}${written.join('')}`
}

/** The address of a standard principal that is the argument of a call; null for what is none. */
export function addressOfArgument(hex: string): string | null {
  const [, version = '', hash160 = ''] = /^0x05([01][0-9a-f])([0-9a-f]{40})$/.exec(hex) ?? []
  return version === '' ? null : encodeC32({ version: parseInt(version, 16), hash160 })
}
