import * as v from 'valibot'
import { integerField, textField } from './replies.js'

/**
 * What a refusal means for the transaction:
 * - `later`: it may be taken at another time, as it is; post it again.
 * - `look`: its nonce is used or taken. Perhaps by itself: look whether it, or a rival, is mined or in the mempool.
 * - `final`: this node never takes it.
 */
export type RefusalClass = 'later' | 'look' | 'final'

/** The node has looked at the transaction, and does not take it. */
export interface Refused {
  is: 'refused'
  /** The node's name for it, such as `BadNonce`; null where it gave a sentence only. */
  reason: string | null
  data: RefusalData
  /** One sentence, with the words of the node. */
  message: string
  class: RefusalClass
}

/** What a refusal says of its reason, each where it is said. Of nonces and fees as the reason has them. */
export interface RefusalData {
  message: string | null
  expected: bigint | null
  actual: bigint | null
  principal: string | null
  isOrigin: boolean | null
}

const LATER = new Set([
  'TooMuchChaining',
  'NotEnoughFunds',
  'EstimatorError',
  'ServerFailureNoSuchChainTip',
  'ServerFailureDatabase',
  'ServerFailureOther',
  'TemporarilyBlacklisted',
])
const LOOK = new Set(['BadNonce', 'ConflictingNonceInMempool'])

/** Reasons that are not known are final: what a newer node refuses it refuses again, and an operator may post it once more. */
export function refusalClass(reason: string): RefusalClass {
  if (LOOK.has(reason)) return 'look'
  // Every failure of the node's own, also one that a newer node has.
  return LATER.has(reason) || reason.startsWith('ServerFailure') ? 'later' : 'final'
}

const optional = <T extends v.GenericSchema>(schema: T) => v.fallback(v.nullable(schema), null)
const NO_DATA: RefusalData = { message: null, expected: null, actual: null, principal: null, isOrigin: null }

/** Every field may be missing, or be something else than is expected: the class follows from the reason alone. */
const reasonData = v.fallback(
  v.pipe(
    v.object({
      message: optional(textField),
      expected: optional(integerField),
      actual: optional(integerField),
      principal: optional(textField),
      is_origin: optional(v.boolean()),
    }),
    v.transform(({ is_origin, ...rest }): RefusalData => ({ ...rest, isOrigin: is_origin })),
  ),
  NO_DATA,
)

const rejection = v.object({
  error: v.optional(v.string()),
  reason: v.pipe(v.string(), v.regex(/^\w{1,64}$/)),
  reason_data: v.optional(v.unknown()),
})

/** The most of a node's own words that a message has, in characters. */
const MAX_WORDS = 300
const NOT_STORED = /infer task submission failed/i

/** The answer 400 to a transaction. @param body JSON or a sentence */
export function readRejection(shown: string, body: unknown, text: string): Refused {
  const parsed = v.safeParse(rejection, body)
  if (!parsed.success) {
    const words = text.trim().slice(0, MAX_WORDS)
    return {
      is: 'refused',
      reason: null,
      data: NO_DATA,
      message: `${shown} refuses the transaction: ${words === '' ? 'it does not say why' : words}`,
      // The node could not store the result beside the transaction; everything else is a request that it cannot read.
      class: NOT_STORED.test(text) ? 'later' : 'final',
    }
  }
  const { reason } = parsed.output
  const data = v.parse(reasonData, parsed.output.reason_data ?? {})
  return {
    is: 'refused',
    reason,
    data,
    message: `${shown} refuses the transaction: ${reason}${inWords(data)}`,
    class: refusalClass(reason),
  }
}

function inWords({ message, expected, actual, principal }: RefusalData): string {
  const parts = [
    ...(message === null ? [] : [message.slice(0, MAX_WORDS)]),
    ...(expected === null ? [] : [`expected ${expected}`]),
    ...(actual === null ? [] : [`got ${actual}`]),
    ...(principal === null ? [] : [`of ${principal.slice(0, MAX_WORDS)}`]),
  ]
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`
}
