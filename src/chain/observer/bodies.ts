import { TextDecoder } from 'node:util'
import * as v from 'valibot'
import { explain } from '../../wire/fields.js'
import { parseJsonInSteps } from '../../wire/json-steps.js'
import type { ChainEvent, MinedTransaction, Spends } from './events.js'
import { blockFields, burnFields, dropFields, minedFields, submissionFields, txidField } from './fields.js'
import { createJsonWalk, InvalidJson, type JsonWalk, type Span } from './json-walk.js'

const MIB = 1024 * 1024

/** The paths that matter, and the largest body of each in bytes; every other path is answered and not read. */
export const bodyLimits = {
  '/new_block': 64 * MIB,
  '/new_burn_block': 4 * MIB,
  '/drop_mempool_tx': 8 * MIB,
  '/submit_infer_task': 4 * MIB,
}
export type EventPath = keyof typeof bodyLimits
export const isEventPath = (path: string): path is EventPath => Object.hasOwn(bodyLimits, path)

/** The event of a body, or why there is none: words that follow "it". */
export type ReadEvent = ChainEvent | { is: 'unreadable'; problem: string }

/** Reads a body in steps of about a millisecond at most, whatever is in it. Never throws for it. */
export function* readEvent(path: EventPath, body: Buffer, from: string): Generator<void, ReadEvent> {
  try {
    switch (path) {
      case '/new_block':
        return yield* readBlock(body)
      case '/new_burn_block':
        return yield* readBurnBlock(body)
      case '/drop_mempool_tx':
        return yield* readDrop(body)
      case '/submit_infer_task':
        return yield* readSubmission(body, from)
    }
  } catch (error) {
    if (error instanceof InvalidJson) return unreadable('is not valid JSON')
    if (error instanceof v.ValiError) return unreadable(`has not the fields that are known: ${explain(error.issues)}`)
    throw error
  }
}
const unreadable = (problem: string): ReadEvent => ({ is: 'unreadable', problem })

/** What is read of these costs more than the bytes that are passed over: so many are about half a millisecond. */
const STEP_TRANSACTIONS = 10
const STEP_TXIDS = 100

function* readBlock(body: Buffer): Generator<void, ChainEvent> {
  const walk = createJsonWalk(body)
  const transactions: MinedTransaction[] = []
  function* transaction(): Generator<void> {
    const spans = yield* fieldsOf(walk, minedFields.entries)
    const spends = spans.raw_tx === undefined ? null : readSpends(body, spans.raw_tx)
    if (spans.raw_tx === undefined || spends === null) return // what only the burn chain has: nobody's nonce
    if (isInfer(body, spans.raw_tx)) {
      const { txid, ...inference } = v.parse(minedFields, values(body, spans))
      transactions.push({ txid, spends, inference })
    } else {
      const txid = v.parse(txidField, spans.txid && valueOf(body, spans.txid))
      transactions.push({ txid, spends, inference: null })
    }
    if (transactions.length % STEP_TRANSACTIONS === 0) yield
  }
  const spans = yield* fieldsOf(walk, blockFields.entries, { transactions: transaction })
  yield* walk.end()
  return { is: 'block', ...v.parse(blockFields, values(body, spans)), transactions }
}

function* readBurnBlock(body: Buffer): Generator<void, ChainEvent> {
  const walk = createJsonWalk(body)
  const spans = yield* fieldsOf(walk, burnFields.entries)
  yield* walk.end()
  return { is: 'burn_block', height: v.parse(burnFields, values(body, spans)).burn_block_height }
}

function* readDrop(body: Buffer): Generator<void, ChainEvent> {
  const walk = createJsonWalk(body)
  const txids: string[] = []
  function* dropped(): Generator<void> {
    txids.push(v.parse(txidField, valueOf(body, yield* walk.pass())))
    if (txids.length % STEP_TXIDS === 0) yield
  }
  const spans = yield* fieldsOf(walk, dropFields.entries, { dropped_txids: dropped })
  yield* walk.end()
  return { is: 'dropped', txids, ...v.parse(dropFields, values(body, spans)) }
}

function* readSubmission(body: Buffer, from: string): Generator<void, ReadEvent> {
  const json = yield* parseJsonInSteps(decode(body))
  if (!json.ok) return unreadable(json.problem)
  return { is: 'submission', task: v.parse(submissionFields, json.value, { abortEarly: true }), from }
}

// Fatal: an invalid byte is refused, never replaced.
const utf8 = new TextDecoder('utf-8', { fatal: true })
function decode(body: Buffer): string {
  try {
    return utf8.decode(body)
  } catch {
    throw new InvalidJson()
  }
}

/**
 * Where the fields of the object that comes are.
 * @param lists what goes past an item of the list of that name; a list that is none, or missing, makes the whole invalid
 */
function* fieldsOf(
  walk: JsonWalk,
  names: Readonly<Record<string, unknown>>,
  lists: Readonly<Record<string, () => Generator<void>>> = {},
): Generator<void, Partial<Record<string, Span>>> {
  const spans: Partial<Record<string, Span>> = {}
  const missing = new Set(Object.keys(lists))
  yield* walk.object(function* (name) {
    const item = Object.hasOwn(lists, name) ? lists[name] : undefined
    if (item !== undefined) {
      missing.delete(name)
      yield* walk.array(item)
      return
    }
    const span = yield* walk.pass()
    if (Object.hasOwn(names, name)) spans[name] = span
  })
  if (missing.size > 0) throw new InvalidJson()
  return spans
}

const values = (body: Buffer, spans: Partial<Record<string, Span>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(spans).map(([name, span]) => [name, span && valueOf(body, span)]))

/** The longest text that is looked at, in bytes: an inference has less than 1 KiB, twice that in hex. */
const MAX_TEXT = 64 * 1024

/** A text or number; nothing that may be nested. */
function valueOf(body: Buffer, { begin, end }: Span): unknown {
  const first = body[begin]
  if (first === OPEN_ARRAY || first === OPEN_OBJECT || end - begin > MAX_TEXT) throw new InvalidJson()
  try {
    const value: unknown = JSON.parse(body.toString('utf8', begin, end))
    return value
  } catch {
    throw new InvalidJson()
  }
}
const [OPEN_ARRAY, OPEN_OBJECT] = [0x5b, 0x7b]

/** Of a transaction that one key has signed: where its kind of authorization, its post-conditions and its kind of payload are, in bytes. */
const AUTH_AT = 5
const POST_CONDITIONS_AT = 111
const PAYLOAD_AT = 115
const [STANDARD, NO_POST_CONDITIONS, INFER] = ['04', '00000000', '09']

/** Where the origin of a transaction is, in bytes: version, chain id and kind of authorization come before it. */
const [HASH_MODE_AT, SIGNER_AT, NONCE_AT, NONCE_END] = [6, 7, 27, 35]

/** Whose nonce a raw transaction, still in hex, has used: the first of those who have signed it. Null when it is too short. */
function readSpends(body: Buffer, { begin, end }: Span): Spends | null {
  const hex = body
    .toString('latin1', begin, Math.min(end, begin + 3 + NONCE_END * 2))
    .replace(/^"(?:0x)?/, '')
    .slice(0, NONCE_END * 2)
    .toLowerCase()
  if (!/^(?:[0-9a-f]{2}){35}$/.test(hex)) return null
  return {
    version: parseInt(hex.slice(0, 2), 16),
    hashMode: parseInt(hex.slice(HASH_MODE_AT * 2, SIGNER_AT * 2), 16),
    signer: hex.slice(SIGNER_AT * 2, NONCE_AT * 2),
    nonce: BigInt(`0x${hex.slice(NONCE_AT * 2)}`),
  }
}

/** Whether a raw transaction, still in hex, is an inference. Others pay for no task: those need one signer, and no post-conditions. */
function isInfer(body: Buffer, { begin, end }: Span): boolean {
  const hex = body.toString('latin1', begin, Math.min(end, begin + 3 + (PAYLOAD_AT + 1) * 2)).replace(/^"(?:0x)?/, '')
  return (
    hex.startsWith(STANDARD, AUTH_AT * 2) &&
    hex.startsWith(NO_POST_CONDITIONS, POST_CONDITIONS_AT * 2) &&
    hex.startsWith(INFER, PAYLOAD_AT * 2)
  )
}
