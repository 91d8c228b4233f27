import { createObserver, LOOPBACK } from '../chain/observer/observer.js'
import type { BlockEvent, ChainEvent, MinedTransaction, SubmissionEvent } from '../chain/observer/events.js'
import { principalOfHash } from '../chain/address.js'
import { encodeC32 } from '../chain/c32.js'
import type { SubmissionStep } from '../chain/preparation.js'
import { parseInferTransaction, TransactionError } from '../chain/transaction.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { BlockTransaction } from '../core/settlement/reports.js'
import type { Caller } from '../core/access/caller.js'
import { done, type Outcome } from '../lib/result.js'
import { createNetworks } from '../lib/networks.js'
import type { Logger } from '../lib/log.js'

/** Of a transaction: the version from which on it is of testnet, and the hash mode of one key by its own hash. */
const TESTNET = 0x80
const P2PKH = 0

/** How many transactions of a block are given to the core at once. */
const PART = 200

export interface EventDoorParts {
  host: string
  port: number
  allow: readonly string[]
  /** Who may submit tasks as events. */
  submissionsFrom: readonly string[]
  /** Who submits them. */
  submitter: Caller
  step: SubmissionStep
  call: Scheduler['call']
  log: Logger
  /** Told of every block. */
  tipChanged(): void
  /** Something was missed: everything that is open has to be looked at. */
  reconcile(): void
}

/** What the Stacks node announces, as operations of the core. */
export function createEventDoor(parts: EventDoorParts) {
  const { host, port, allow, submissionsFrom, submitter, step, call, log, tipChanged, reconcile } = parts
  const maySubmit = createNetworks(submissionsFrom)

  /** Throws what the core could not take, so that it counts as a gap. */
  const must = <T>(outcome: Outcome<T>): T => {
    if (!outcome.ok) throw new Error(outcome.message)
    return outcome.value
  }

  const announce = async (event: BlockEvent): Promise<void> => {
    const transactions = event.transactions.flatMap((tx) => readTransaction(tx) ?? [])
    const block = {
      index_block_hash: event.indexBlockHash,
      parent: event.parentIndexBlockHash,
      height: event.height,
      burn_height: event.burnHeight,
    }
    for (let i = 0; i === 0 || i < transactions.length; i += PART)
      must(await call({ op: 'chainBlock', block: { ...block, transactions: transactions.slice(i, i + PART) } }))
    tipChanged()
  }

  /** A task that comes as an event: the same checks as over REST. Nobody is there to be told of a refusal but the log. */
  const submit = async ({ task, from }: SubmissionEvent): Promise<void> => {
    const refused = (message: string): void =>
      log.warn({ event: 'observer.submission_refused', task_id: task.task_id, from, error: message }, message)
    if (!maySubmit(from)) return refused(`${from} may not submit tasks as events (chain.submissions_from)`)
    const [prepared = done(task)] = await step.take([done(task)])
    if (!prepared.ok) return refused(prepared.message)
    const outcome = await call({ op: 'submit', tasks: [prepared.value], by: submitter })
    const first = outcome.ok ? outcome.value[0] : outcome
    if (first !== undefined && !first.ok) refused(first.message)
  }

  const take = async (event: ChainEvent): Promise<void> => {
    switch (event.is) {
      case 'block':
        return announce(event)
      case 'burn_block':
        return tipChanged()
      case 'dropped':
        must(await call({ op: 'chainDropped', txids: event.txids }))
        return
      case 'submission':
        return submit(event)
      case 'gap':
        return reconcile()
    }
  }

  return createObserver({
    host,
    port,
    allowed: allow.length === 0 ? LOOPBACK : allow,
    log,
    onEvent: take,
  })
}

/** What of a transaction may matter: whose nonce it used, and whom it pays. Null when its nonce is none of ours. */
function readTransaction({ txid, spends, inference }: MinedTransaction): BlockTransaction | null {
  if (spends.nonce > BigInt(Number.MAX_SAFE_INTEGER)) return null
  const { signer, hashMode, version } = spends
  const network = version < TESTNET ? 'mainnet' : 'testnet'
  const origin = encodeC32(principalOfHash(signer, hashMode === P2PKH ? 'single' : 'multi', network))
  const seen = { txid, origin, nonce: Number(spends.nonce) }
  if (inference === null) return { ...seen, inference: null }
  try {
    const { node, outputHash } = parseInferTransaction(inference.rawTx)
    const succeeded = inference.status === 'success'
    return { ...seen, inference: { payee: encodeC32(node), output_hash: outputHash, succeeded } }
  } catch (error) {
    if (error instanceof TransactionError) return { ...seen, inference: null }
    throw error
  }
}
