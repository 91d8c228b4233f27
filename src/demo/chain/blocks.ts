import { createHash } from 'node:crypto'
import { encodeC32 } from '../../chain/c32.js'
import type { SignedPayment } from '../../chain/payment.js'
import { indexBlockHash } from '../../chain/rpc/replies.js'

/** What a user or node owns: micro-STX, and the nonce that its next transaction must have. */
export interface Account {
  balance: bigint
  nonce: bigint
}
export type Accounts = ReadonlyMap<string, Account>

/** A transaction as it was mined. */
export interface Mined {
  payment: SignedPayment
  /** `abort_by_response` where the output hash is missing: only the fee is paid then, and the nonce is used up. */
  status: 'success' | 'abort_by_response'
  /** The address that was paid. */
  payee: string
  /** What the payee and the miner have of the amount. */
  paid: { payee: bigint; miner: bigint }
}

export interface Block {
  /** Hex without 0x. */
  hash: string
  consensusHash: string
  indexHash: string
  /** null for the first. */
  parent: Block | null
  height: number
  burnHeight: number
  mined: Mined[]
  /** Of all, after this block. */
  accounts: Accounts
}

/** So many blocks are kept, as a node's mempool keeps its transactions. */
export const KEPT_BLOCKS = 256

/** The blocks of one branch, the newest first. */
export function* branch(tip: Block): Generator<Block> {
  for (let block: Block | null = tip; block !== null; block = block.parent) yield block
}

/** Makes blocks whose hashes no other chain has. @param salt the same makes the same hashes */
export function createBlocks(salt: string, miner: string) {
  let made = 0
  const hash = (what: string, bytes: number): string =>
    createHash('sha256')
      .update(`${salt} ${what} ${made}`)
      .digest('hex')
      .slice(0, bytes * 2)

  const put = (on: { parent: Block | null; burnHeight: number; accounts: Accounts }, mined: Mined[]): Block => {
    made++
    const [blockHash, consensusHash] = [hash('block', 32), hash('consensus', 20)]
    const block = {
      ...on,
      hash: blockHash,
      consensusHash,
      indexHash: indexBlockHash(blockHash, consensusHash),
      height: (on.parent?.height ?? 0) + 1,
      mined,
    }
    for (const old of branch(block)) if (block.height - old.height >= KEPT_BLOCKS) old.parent = null
    return block
  }

  return {
    first: (accounts: Accounts): Block => put({ parent: null, burnHeight: 1000, accounts }, []),
    /**
     * A block with as many of these transactions as can be mined now, in the order of their nonces.
     * @param candidates in the order they came
     */
    next(parent: Block, burnHeight: number, candidates: readonly SignedPayment[]): Block {
      const accounts = new Map(parent.accounts)
      const mined: Mined[] = []
      const byNonce = [...candidates].sort((a, b) => (a.tx.nonce < b.tx.nonce ? -1 : a.tx.nonce > b.tx.nonce ? 1 : 0))
      for (const payment of byNonce) {
        const one = execute(accounts, payment, miner)
        if (one !== null) mined.push(one)
      }
      return put({ parent, burnHeight, accounts }, mined)
    },
  }
}

/** Pays for one transaction; null where it cannot be mined now. */
function execute(accounts: Map<string, Account>, payment: SignedPayment, miner: string): Mined | null {
  const { tx, origin } = payment
  const account = accountOf(accounts, origin)
  if (account.nonce !== tx.nonce || account.balance < tx.amount + tx.fee) return null
  const isDone = /^(?:[0-9a-f]{2})+$/i.test(tx.outputHash)
  const payee = encodeC32(tx.node)
  const share = isDone ? (tx.amount * 9n) / 10n : 0n
  const paid = { payee: share, miner: isDone ? tx.amount - share : 0n }
  accounts.set(origin, { balance: account.balance - tx.fee - paid.payee - paid.miner, nonce: account.nonce + 1n })
  const add = (address: string, amount: bigint): void => {
    const { balance, nonce } = accountOf(accounts, address)
    accounts.set(address, { balance: balance + amount, nonce })
  }
  add(payee, paid.payee)
  add(miner, paid.miner + tx.fee)
  return { payment, status: isDone ? 'success' : 'abort_by_response', payee, paid }
}

/** An address that nobody has paid has nothing. */
export const accountOf = (accounts: Accounts, address: string): Account =>
  accounts.get(address) ?? { balance: 0n, nonce: 0n }
