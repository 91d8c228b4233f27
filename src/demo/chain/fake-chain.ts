import { createHash, randomUUID } from 'node:crypto'
import { principalOf, type Network } from '../../chain/address.js'
import { encodeC32 } from '../../chain/c32.js'
import { createOriginVerifier } from '../../chain/origin.js'
import { readPayment, WIRE, type SignedPayment } from '../../chain/payment.js'
import { fillIn, TransactionError } from '../../chain/transaction.js'
import { blockBody, burnBlockBody } from './block-bodies.js'
import { accountOf, branch, createBlocks, type Account, type Block, type Mined } from './blocks.js'
import { createMempool, type Rejection } from './mempool.js'
import { createPusher, type Pusher } from './pusher.js'
import { createRoutes, type Answer } from './rpc-routes.js'
import { startChainServer } from './server.js'
import type { StakeOf } from './stakes.js'

export interface FakeChainOptions {
  /** Default testnet. */
  network?: Network
  host?: string
  /** 0, the default, for a free one. */
  port?: number
  /** What accounts have at the begin, micro-STX. */
  balances?: Readonly<Record<string, bigint | number>>
  /** Addresses of event observers, such as `http://127.0.0.1:30000`. */
  observers?: readonly string[]
  /** Mines a block so often, ms; without it only `mine` does. */
  mineEvery?: number
  /** How long after an event was not taken it is told again, ms. Default 1000, as a node does. */
  repeatEvery?: number
  /** Of the hashes of blocks. Default random. */
  salt?: string
}

/** What was posted, and what came of it. */
export interface Post {
  txid: string
  /** The address that it pays. */
  payee: string
  outputHash: string
  /** `taken`, `swallowed`, or the reason of the refusal. */
  was: string
}

/** A transaction in the canonical chain. */
export interface MinedAt extends Mined {
  height: number
  indexHash: string
}

export type FakeChain = Awaited<ReturnType<typeof createFakeChain>>

/** Who mines, on each network: nobody's key. */
const MINER = { mainnet: 22, testnet: 26, devnet: 26 } as const
const MINER_HASH = '6d'.repeat(20)
/** Of an observer that takes nothing: a node stands still then, so nothing is mined by itself. */
const MAX_UNTOLD = 100
const MAX_POSTS = 100_000

/**
 * A node of the chain with nobody else on it, for the demo and for tests: it speaks the RPC that the service uses and tells
 * observers what happens, and its controls make happen what does on a real chain. It verifies signatures, keeps accounts and pays.
 * Times, hashes of blocks and the wording of texts are its own.
 */
export async function createFakeChain(options: FakeChainOptions = {}) {
  const { network = 'testnet', host = '127.0.0.1', port = 0, balances = {}, repeatEvery = 1000 } = options
  const miner = encodeC32({ version: MINER[network], hash160: MINER_HASH })
  const blocks = createBlocks(options.salt ?? randomUUID(), miner)
  const mempool = createMempool(network)
  const stakes = new Map<string, StakeOf>()
  const verify = createOriginVerifier()
  const pushers: Pusher[] = []
  const posts: Post[] = []
  /** By txid: who was there first. */
  const hijackers = new Map<string, string>()
  let refusal: ((Rejection | { status: number; text: string }) & { times: number }) | null = null
  let swallows = false
  let isDown = false

  const genesis = Object.entries(balances).map(([address, balance]): [string, Account] => [
    address,
    { balance: BigInt(balance), nonce: 0n },
  ])
  let tip = blocks.first(new Map(genesis))
  let burnHeight = tip.burnHeight

  const tell = (path: string, body: object): void => pushers.forEach((pusher) => pusher.tell(path, body))
  const drop = (txids: string[], reason: string): void => {
    if (txids.length > 0) tell('/drop_mempool_tx', { dropped_txids: txids.map((txid) => `0x${txid}`), reason })
  }
  /** A block on another, told to observers; the tip only where it is the highest. */
  const grow = (parent: Block, candidates: readonly SignedPayment[]): Block => {
    burnHeight++
    const block = blocks.next(parent, burnHeight, candidates)
    tell('/new_burn_block', burnBlockBody(burnHeight))
    tell('/new_block', blockBody(block, miner))
    return block
  }
  const setTip = (block: Block): void => {
    tip = block
    drop(mempool.expire(tip.height), 'StaleGarbageCollect')
  }
  const mine = (): Block => {
    const block = grow(tip, mempool.candidates())
    for (const { payment } of block.mined) mempool.setMined(payment.txid, true)
    setTip(block)
    return block
  }

  const rejected = (txid: string, { reason, data }: Rejection): Answer => ({
    status: 400,
    body: { txid, error: 'transaction rejected', reason, ...(data === undefined ? {} : { reason_data: data }) },
  })
  /** What a switch makes of a post; null where it is dealt with as it is. */
  const refuse = (txid: string): { answer: Answer; was: string } | null => {
    if (refusal === null) return null
    const one = refusal
    if (--one.times <= 0) refusal = null
    if ('text' in one) return { answer: { status: one.status, body: one.text }, was: `${one.status}` }
    return { answer: rejected(txid, one), was: one.reason }
  }
  /** As a node that has looked at a transaction: what it says, and what it has done. */
  const admit = (payment: SignedPayment, output: string | null): { answer: Answer; was: string } => {
    const { txid } = payment
    const taken: Answer = { status: 200, body: txid, headers: { 'x-canonical-funai-tip-height': `${tip.height}` } }
    if (swallows) return { answer: taken, was: 'swallowed' }
    const rival = hijackers.get(txid)
    hijackers.delete(txid)
    if (rival !== undefined) mempool.force(hijacked(payment, rival), HIJACKED_OUTPUT, tip.height)
    const admission = mempool.add(payment, output, { accounts: tip.accounts, height: tip.height })
    if (admission.is === 'rejected') return { answer: rejected(txid, admission), was: admission.reason }
    if (admission.replaced !== null) drop([admission.replaced], 'ReplaceByFee')
    if (admission.is === 'taken') tell('/new_mempool_tx', [`0x${payment.bytes.toString('hex')}`])
    return { answer: taken, was: admission.is }
  }
  const post = async (hex: string, output: string | null): Promise<Answer> => {
    let payment: SignedPayment
    try {
      payment = readPayment(hex)
    } catch (error) {
      if (!(error instanceof TransactionError)) throw error
      const txid = createHash('sha512-256').update(hex, 'hex').digest('hex')
      return rejected(txid, { reason: 'Deserialization', data: { message: error.message } })
    }
    const [isSigned] = await verify([payment])
    const { answer, was } =
      refuse(payment.txid) ??
      (isSigned === true
        ? admit(payment, output)
        : { answer: rejected(payment.txid, NOT_SIGNED), was: NOT_SIGNED.reason })
    if (posts.length < MAX_POSTS)
      posts.push({ txid: payment.txid, payee: encodeC32(payment.tx.node), outputHash: payment.tx.outputHash, was })
    return answer
  }

  const routes = createRoutes({ network, networkId: WIRE[network].chainId, tip: () => tip, mempool, stakes, post })
  const server = await startChainServer(routes, host, port)
  const observe = (url: string): void => void pushers.push(createPusher(url.replace(/\/+$/, ''), repeatEvery))
  options.observers?.forEach(observe)
  const canMine = (): boolean => !isDown && pushers.every((pusher) => pusher.waiting() < MAX_UNTOLD)
  const clock =
    options.mineEvery === undefined ? undefined : setInterval(() => void (canMine() && mine()), options.mineEvery)

  return {
    url: server.url,
    miner,
    /** Tells another observer what happens from now on. */
    observe,
    tip: (): Block => tip,
    account: (address: string): Account => accountOf(tip.accounts, address),
    setStake: (address: string, stake: StakeOf | null): void =>
      void (stake === null ? stakes.delete(address) : stakes.set(address, stake)),
    /** All that was posted, in order, as far as it was a transaction. */
    posts: (): readonly Post[] => posts,
    /** Where a transaction is in the canonical chain, each time: more than once never. */
    find: (txid: string): MinedAt[] =>
      [...branch(tip)].flatMap(({ mined, height, indexHash }) =>
        mined.flatMap((one) => (one.payment.txid === txid ? [{ ...one, height, indexHash }] : [])),
      ),
    held: (txid: string): SignedPayment | undefined => mempool.held(txid),
    /** Transactions that are held, and in no block. */
    waiting: mempool.waiting,
    /** Events that no observer has taken yet, of the one that has most. */
    untold: (): number => Math.max(0, ...pushers.map((pusher) => pusher.waiting())),

    /** A block with all that can be mined. */
    mine,
    /**
     * The newest blocks are replaced by as many and one more, which are empty.
     * @param how.keep whether the transactions of the old ones are in the mempool again; else they are gone. Default true
     */
    fork({ depth, keep = true }: { depth: number; keep?: boolean }): Block {
      const old = [...branch(tip)].slice(0, depth)
      const base = old.at(-1)?.parent
      if (base === null || base === undefined) throw new Error(`the chain has no block below its last ${depth}`)
      let block = base
      for (let i = 0; i <= depth; i++) block = grow(block, [])
      for (const { payment } of old.flatMap(({ mined }) => mined)) {
        if (keep) mempool.setMined(payment.txid, false)
        else mempool.remove(payment.txid)
      }
      setTip(block)
      return block
    },
    /** Forgets a transaction without an event, as one that signers have filtered out. @returns whether it was held */
    dropSilently: mempool.remove,
    /** Forgets a transaction, and says so. */
    drop(txid: string, reason = 'TooExpensive'): void {
      if (mempool.remove(txid)) drop([txid], reason)
    },
    /** Somebody else's payee and output are held for this txid: from now on where it is held, else as if posted just before it. */
    hijack(txid: string, payee: string): void {
      const held = mempool.held(txid)
      if (held === undefined) hijackers.set(txid, payee)
      else mempool.force(hijacked(held, payee), HIJACKED_OUTPUT, tip.height)
    },
    /** Refuses what is posted, so many times, by a reason or with a status and a text; null: no more. */
    refuse(how: Rejection | { status: number; text: string } | null, times = Infinity): void {
      refusal = how === null ? null : { ...how, times }
    },
    /** Answers 200 to what is posted and keeps nothing, as of transactions that a node finds problematic. */
    swallow: (yes: boolean): void => void (swallows = yes),
    /** Takes requests, and answers none. */
    deaf: (yes: boolean): void => server.setDeaf(yes),
    /** Refuses connections, tells nothing and mines nothing by itself; then goes on at the same address. */
    async down(yes: boolean): Promise<void> {
      isDown = yes
      for (const pusher of pushers) pusher.pause(yes)
      await (yes ? server.stop() : server.start())
    },
    /** All connections end. @param how.loseMempool whether it holds no transaction afterwards; the blocks stay. Default false */
    restart({ loseMempool = false }: { loseMempool?: boolean } = {}): void {
      if (loseMempool) mempool.clear()
      server.disconnect()
    },
    async close(): Promise<void> {
      clearInterval(clock)
      await Promise.all([server.stop(), ...pushers.map((pusher) => pusher.close())])
    },
  }
}

const NOT_SIGNED: Rejection = { reason: 'SignatureValidation', data: { message: 'signer hash does not match' } }
const HIJACKED_OUTPUT = 'An answer that nobody has asked for.'

/** The same transaction with another payee, and an invented output. */
function hijacked({ bytes }: SignedPayment, payee: string): SignedPayment {
  const principal = principalOf(payee)
  if (principal === null) throw new Error(`${payee} is no address`)
  const outputHash = createHash('sha256').update(HIJACKED_OUTPUT).digest('hex')
  return readPayment(fillIn(bytes, { payee: principal, outputHash }).toString('hex'))
}
