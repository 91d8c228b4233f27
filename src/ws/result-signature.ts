import { sha256InPool } from '../lib/sha256.js'
import { lowS, parseCompact, resultText, verifyInPool } from '../wire/keys.js'
import type { NodeMessage } from '../wire/node.js'

export type SignedCompletion = Extract<NodeMessage, { type: 'task.complete' }> & { signature: string }

export const isSigned = (message: NodeMessage): message is SignedCompletion =>
  message.type === 'task.complete' && message.signature != null

/** What of a completion the session's key has to have signed. */
const EXPECTED =
  'must be by the key of this session over inference-result.v1:<task_id>:<attempt>:<SHA-256 of output, hex>'

/**
 * Whether a result is signed by a key; with the signature in the form in which it is kept, then. In the thread pool, as far as it takes long.
 * @param key normalized
 */
export async function verifyResult(
  key: string,
  message: SignedCompletion,
): Promise<{ ok: true; message: SignedCompletion } | { ok: false; problem: string }> {
  const compact = parseCompact(message.signature)
  if (compact === null)
    return { ok: false, problem: 'signature: must be 64 bytes compact, r and s, in hex; the result was not taken' }
  const text = resultText(message.task_id, message.attempt, await sha256InPool(message.output))
  return (await verifyInPool(key, text, compact))
    ? { ok: true, message: { ...message, signature: lowS(compact) } }
    : { ok: false, problem: `signature: ${EXPECTED}; the result was not taken` }
}
