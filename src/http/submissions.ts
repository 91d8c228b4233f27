import type { SubmissionOpener } from '../chain/encrypted-submissions.js'
import type { Submitted } from '../core/operations.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import { submitBody, type Submission } from '../wire/rest.js'
import { parse } from './body.js'
import type { Exchange } from './exchange.js'
import { takeRequests } from './allowance.js'

/** What an encrypted submission counts as among the requests of an address: to decrypt it takes a few milliseconds. */
const ENCRYPTED_COST = 10
/** What is said of an encrypted submission, beside what is said of each. */
const ENCRYPTED = { encrypted: true, message: 'Inference task submitted with end-to-end encryption' }

/** The entries of a batch, each by itself, in steps. */
export function* parseEntries(tasks: readonly unknown[]): Generator<void, Outcome<Submission>[]> {
  const parsed: Outcome<Submission>[] = []
  for (const task of tasks) {
    parsed.push(parse(submitBody, task))
    yield
  }
  return parsed
}

/** What REST says of a submission: its id, whether it was known or not, and what its submitter should know, if anything. */
export const submitted = (
  o: Outcome<Submitted> = refuse('internal', 'no outcome'),
  { is_encrypted }: Pick<Submission, 'is_encrypted'>,
): Outcome<object> =>
  o.ok ? done({ task_id: o.value.task_id, ...(is_encrypted ? ENCRYPTED : {}), warnings: o.value.warnings }) : o

export type Opening = ReturnType<typeof createOpening>

/** Decrypts what came encrypted, and gives back as it is what did not. */
/** @param anonymous whether who shows no token may submit */
export function createOpening(opener: SubmissionOpener | null, anonymous: boolean) {
  const all = async (
    list: readonly Outcome<Submission>[],
    exchange: Exchange,
  ): Promise<Outcome<readonly Outcome<Submission>[]>> => {
    const encrypted = list.filter((s) => s.ok && s.value.is_encrypted).length
    // Who may not submit costs nothing: the core says so.
    if (encrypted === 0 || opener === null || (exchange.isStranger && !anonymous)) return done(list)
    const tooFast = takeRequests(exchange, encrypted * (ENCRYPTED_COST - 1))
    if (tooFast !== null) return tooFast
    return done(await opener.open(list))
  }
  return {
    all,
    async one(submission: Submission, exchange: Exchange): Promise<Outcome<Submission>> {
      const opened = await all([done(submission)], exchange)
      return opened.ok ? (opened.value[0] ?? done(submission)) : opened
    },
    /** What clients encrypt for. */
    key: (): Outcome<object> =>
      opener === null
        ? refuse('not_found', 'this service has no key that texts could be encrypted for; send plain text')
        : done({ public_key: opener.publicKey, signer_address: opener.address }),
  }
}
