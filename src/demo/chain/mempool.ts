import { createHash } from 'node:crypto'
import { encodeC32 } from '../../chain/c32.js'
import { WIRE, type SignedPayment } from '../../chain/payment.js'
import type { Network } from '../../chain/address.js'
import { accountOf, KEPT_BLOCKS, type Accounts } from './blocks.js'

/** What the miner has of the result of an inference, as `/v2/infer_res` shows it. */
export interface StoredResult {
  status: 'Created' | 'Success'
  input: string
  output: string
  outputHash: string
  /** The address of the node. */
  nodeId: string
}

interface Entry {
  payment: SignedPayment
  /** The height of the tip when it came. */
  since: number
  /** Whether it may be in a block; until it is, and again when that block is orphaned. */
  isOpen: boolean
}

/** Why a transaction is not taken, by a node's name for it. */
export interface Rejection {
  reason: string
  data?: object
}
export type Admission =
  /** `swallowed`: the same answer, and nothing is kept. */
  { is: 'taken' | 'swallowed'; replaced: string | null } | ({ is: 'rejected' } & Rejection)

/** So far ahead of the account a nonce may be. */
const MAX_CHAINING = 26n

export type Mempool = ReturnType<typeof createMempool>

/** The transactions that a node holds, also those that are mined: it forgets them with age only. */
export function createMempool(network: Network) {
  const entries = new Map<string, Entry>()
  const results = new Map<string, StoredResult>()

  const rivalOf = ({ txid, origin, tx }: SignedPayment): SignedPayment | undefined => {
    for (const { payment, isOpen } of entries.values())
      if (isOpen && payment.origin === origin && payment.tx.nonce === tx.nonce && payment.txid !== txid) return payment
    return undefined
  }
  /** In the order of a real node, as far as that is known. */
  const reject = (payment: SignedPayment, accounts: Accounts): Rejection | null => {
    const { tx, bytes, origin } = payment
    const { version, chainId } = WIRE[network]
    if (tx.version !== version || tx.chainId !== chainId)
      return { reason: 'SignatureValidation', data: { message: 'invalid chain ID or network' } }
    const least = BigInt(bytes.length)
    if (tx.fee < least) return { reason: 'FeeTooLow', data: { expected: Number(least), actual: Number(tx.fee) } }
    const account = accountOf(accounts, origin)
    const nonces = { expected: Number(account.nonce), actual: Number(tx.nonce), principal: origin, is_origin: true }
    if (tx.nonce < account.nonce) return { reason: 'BadNonce', data: nonces }
    if (tx.nonce > account.nonce + MAX_CHAINING)
      return { reason: 'TooMuchChaining', data: { message: 'Nonce would exceed chaining limit in mempool', ...nonces } }
    const rival = rivalOf(payment)
    if (rival !== undefined && rival.tx.fee >= tx.fee) return { reason: 'ConflictingNonceInMempool' }
    // Of the fee only: the amount is looked at when it is mined.
    if (account.balance < tx.fee)
      return { reason: 'NotEnoughFunds', data: { expected: hex16(tx.fee), actual: hex16(account.balance) } }
    return null
  }
  const put = (payment: SignedPayment, height: number): void => {
    const since = entries.get(payment.txid)?.since ?? height
    entries.set(payment.txid, { payment, since, isOpen: true })
  }
  const store = ({ txid, tx }: SignedPayment, output: string | null): void =>
    void results.set(txid, {
      status: output === null ? 'Created' : 'Success',
      input: tx.userInput,
      output: output ?? '',
      outputHash: output === null ? '' : createHash('sha256').update(output).digest('hex'),
      nodeId: encodeC32(tx.node),
    })

  return {
    /** A transaction that is posted. The first of a txid wins. @param output null where none came with it */
    add(payment: SignedPayment, output: string | null, now: { accounts: Accounts; height: number }): Admission {
      if (entries.has(payment.txid)) return { is: 'swallowed', replaced: null }
      const rejection = reject(payment, now.accounts)
      if (rejection !== null) return { is: 'rejected', ...rejection }
      const replaced = rivalOf(payment)?.txid ?? null
      if (replaced !== null) entries.delete(replaced)
      put(payment, now.height)
      store(payment, output)
      return { is: 'taken', replaced }
    },
    /** Holds this one, whatever it holds of the same txid. */
    force(payment: SignedPayment, output: string, height: number): void {
      put(payment, height)
      store(payment, output)
    },
    held: (txid: string): SignedPayment | undefined => entries.get(txid)?.payment,
    result: (txid: string): StoredResult | undefined => results.get(txid),
    /** What may be in the next block: with a result, and of the node that the transaction pays. In the order it came. */
    candidates: (): SignedPayment[] =>
      [...entries.values()].flatMap(({ payment, isOpen }) => {
        const result = results.get(payment.txid)
        const isDone = result?.status === 'Success' && result.nodeId === encodeC32(payment.tx.node)
        return isOpen && isDone ? [payment] : []
      }),
    /** It is in a block, or is no longer. */
    setMined(txid: string, isMined: boolean): void {
      const entry = entries.get(txid)
      if (entry !== undefined) entry.isOpen = !isMined
    },
    remove: (txid: string): boolean => entries.delete(txid),
    /** The txids of those that have become too old, and are not held any more. */
    expire(height: number): string[] {
      const old = [...entries].filter(([, { since }]) => height - since >= KEPT_BLOCKS).map(([txid]) => txid)
      for (const txid of old) entries.delete(txid)
      return old
    },
    clear: (): void => entries.clear(),
    waiting: (): number => [...entries.values()].filter((entry) => entry.isOpen).length,
  }
}

/** 16 bytes, as nodes write amounts. */
export const hex16 = (amount: bigint): string => `0x${amount.toString(16).padStart(32, '0')}`
