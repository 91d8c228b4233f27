import { createHash } from 'node:crypto'
import { toSeconds } from '../lib/clock.js'
import { done, refuse, type Outcome, type Refusal } from '../lib/result.js'
import { hasLowS, normalizeKey, readCompact, readDer, readKey, verifyInPool, type Signature } from '../wire/keys.js'
import type { Proof, SignedPoll, SignedQuery } from '../wire/signed.js'
import { isAddressOf } from './address.js'

// The sentences of the refusals here are those that today's nodes and clients know, word for word.

/** How far the time of a signed call may be from ours, to either side. */
export const SIGNED_CALL_WINDOW_SECONDS = 300

/** What a node signs to ask for a task. */
export const pollText = ({ node_id, timestamp }: Pick<SignedPoll, 'node_id' | 'timestamp'>): string =>
  `GET_TASK:${node_id}:${timestamp}`

/** What a user signs to ask for a task of theirs. */
export const queryText = ({ task_id, timestamp }: Pick<SignedQuery, 'task_id' | 'timestamp'>): string =>
  `query_task:${task_id}:${timestamp}`

interface SignedResult {
  node_id: string
  task_id: string
  timestamp: number
}

/**
 * What a node signs to complete a task over REST. Neither a node_id nor a task_id has control characters, so that nothing else
 * has the same text.
 */
export const completeText = ({ node_id, task_id, timestamp, output }: SignedResult & { output: string }): string =>
  `COMPLETE_TASK:${node_id}:${timestamp}:${sha256(`${task_id}\n${output}`)}`

/** What a node signs to fail a task over REST; `error` as it is sent, however long. */
export const failText = ({
  node_id,
  task_id,
  timestamp,
  error,
  retryable,
}: SignedResult & { error: string; retryable: boolean }): string =>
  `FAIL_TASK:${node_id}:${timestamp}:${sha256(`${task_id}\n${retryable}\n${error}`)}`

/**
 * Who made a signed call of a node.
 * @param text what must be signed: `pollText`, `completeText` or `failText` of the call
 * @param registered the public key of the node as it was registered; null when there is no such node
 * @param now wall-clock time, ms
 */
export async function verifyNodeCall(
  { node_id, timestamp, signature }: SignedPoll,
  text: string,
  { registered, now }: { registered: string | null; now: number },
): Promise<Outcome<Proof>> {
  if (!isTimely(timestamp, now))
    return refuse('invalid_request', 'Request timestamp expired (must be within 5 minutes)')
  if (registered === null) return refuse('forbidden', `Node ${node_id} not registered`)
  const problem = hexProblem(signature)
  if (problem !== null) return refuse('invalid_request', `Invalid signature hex: ${problem}`)
  const key = normalizeKey(registered)
  if (key === null) {
    return refuse(
      'internal',
      'Invalid registered public key: it is no secp256k1 key in hex; register the node again with the key it signs with',
    )
  }
  const bytes = Buffer.from(signature, 'hex')
  if (bytes.length !== 64 && bytes.length !== 65)
    return refuse('invalid_request', `Invalid signature length: ${bytes.length} (expected 64 or 65)`)
  const compact = readCompact(bytes)
  if (compact === null)
    return refuse('invalid_request', 'Invalid signature format: r and s must be below the order of secp256k1')
  return hasLowS(compact) && (await verifyInPool(key, text, compact))
    ? done({ key, timestamp })
    : refuse('forbidden', WRONG_SIGNATURE)
}

/**
 * Who asks for a task, if it is theirs.
 * @param owner the task's user_address; null when there is no such task
 * @param now wall-clock time, ms
 */
export async function verifyQuery(
  call: SignedQuery,
  { owner, now }: { owner: string | null; now: number },
): Promise<Outcome<Proof>> {
  if (!isTimely(call.timestamp, now))
    return refuse('unauthorized', 'Request expired. Timestamp must be within 5 minutes.')
  if (owner === null) return TASK_NOT_FOUND
  const key = readKey(call.public_key)
  if (key === null) return refuse('invalid_request', 'Invalid public key format')
  const signature = readQuerySignature(call.signature)
  if (signature === null) return refuse('invalid_request', 'Invalid signature format')
  if (!(await verifyInPool(key.compressed, queryText(call), signature))) return refuse('unauthorized', WRONG_SIGNATURE)
  if (!isAddressOf(owner, key)) return refuse('forbidden', 'Unauthorized: you are not the owner of this task')
  return done({ key: key.compressed, timestamp: call.timestamp })
}

const TASK_NOT_FOUND: Refusal = refuse('task_not_found', 'Task not found')

const WRONG_SIGNATURE = 'Signature verification failed'
/** Whether a call was refused because somebody else has signed it, or nobody. */
export const isWrongSignature = ({ message }: Refusal): boolean => message === WRONG_SIGNATURE

const isTimely = (timestamp: number, now: number): boolean =>
  Math.abs(toSeconds(now) - timestamp) <= SIGNED_CALL_WINDOW_SECONDS

/** Of 64 or 65 bytes a compact one, of any other length DER. */
function readQuerySignature(text: string): Signature | null {
  const hex = text.startsWith('0x') ? text.slice(2) : text
  if (hexProblem(hex) !== null) return null
  const bytes = Buffer.from(hex, 'hex')
  return readCompact(bytes) ?? readDer(bytes)
}

/** Why a text is no bytes in hex, a bad character before a bad length; null when it is. */
function hexProblem(text: string): string | null {
  const bad = /[^0-9a-f]/iu.exec(text)?.[0]
  if (bad !== undefined) return `bad character ${bad} for hex string`
  return text.length % 2 === 0 ? null : `bad length ${text.length} for hex string`
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
