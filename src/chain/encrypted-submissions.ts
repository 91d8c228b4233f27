import type { KeyObject } from 'node:crypto'
import { done, type Outcome } from '../lib/result.js'
import { createSharedTurns } from '../lib/shared-turns.js'
import type { Submission } from '../wire/rest.js'
import type { Network } from './address.js'
import { createSigner, openText, type Signer } from './encryption.js'
import type { SubmissionStep } from './preparation.js'
import { unwrapKeys, wrapKeys, wrappingKey } from './text-keys.js'

/** What an encrypted submission counts as, beside itself: to decrypt it takes a few milliseconds. */
const COST = 9

/** Who decrypts what is submitted. */
export interface SubmissionOpener extends SubmissionStep {
  /** What clients encrypt for, and its address on the configured network. */
  publicKey: string
  address: string
}

/** @param privateKey as the configuration has checked it */
export function createSubmissionOpener(privateKey: string, network: Network): SubmissionOpener {
  const signer = createSigner(privateKey, network)
  const wrapping = wrappingKey(privateKey)
  const inTurns = createSharedTurns()
  function* openAll(list: readonly Outcome<Submission>[]): Generator<void, Outcome<Submission>[]> {
    const opened: Outcome<Submission>[] = []
    for (const one of list) {
      if (!one.ok || !one.value.is_encrypted) {
        opened.push(one)
        continue
      }
      opened.push(yield* openSubmission(signer, wrapping, one.value))
      yield
    }
    return opened
  }
  return {
    publicKey: signer.publicKey,
    address: signer.address,
    concerns: ({ is_encrypted }) => is_encrypted,
    cost: () => COST,
    // All that come share the time.
    take: (list) => inTurns(openAll(list)),
  }
}

/**
 * Decrypts an encrypted submission in steps: each of them costs about 2 ms, for an ephemeral key that is new. What it says
 * travels with it from there on, and with what opens it again without that cost.
 */
function* openSubmission(
  signer: Pick<Signer, 'read'>,
  wrapping: KeyObject,
  submission: Submission,
): Generator<void, Outcome<Submission>> {
  const input = signer.read('user_input', submission.user_input)
  if (!input.ok) return input
  yield
  const context = signer.read('context', submission.context)
  if (!context.ok) return context
  const keys = wrapKeys(wrapping, [input.value.key, context.value.key])
  return done({ ...submission, opened: { user_input: input.value.text, context: context.value.text, keys } })
}

/**
 * What an encrypted submission says, from how it is stored: quickly, for its keys are stored with it.
 * @throws Error a sentence, when it was encrypted for another signer
 */
export function openStored<Texts extends { user_input: string; context: string }>(
  wrapping: KeyObject,
  task_id: string,
  { user_input, context }: Texts,
  keys: string,
): { user_input: string; context: string } {
  const [ofInput, ofContext] = unwrapKeys(wrapping, keys) ?? []
  const input = ofInput === undefined ? null : openText(ofInput, user_input)
  const words = ofContext === undefined ? null : openText(ofContext, context)
  if (input !== null && words !== null) return { user_input: input, context: words }
  throw new Error(
    `task ${task_id} was encrypted for another key than signer.stacks_private_key; put that key back to read it`,
  )
}
