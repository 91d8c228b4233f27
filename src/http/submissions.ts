import * as v from 'valibot'
import type { SubmissionStep } from '../chain/preparation.js'
import type { Submitted } from '../core/operations.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import { id } from '../wire/fields.js'
import { submitBody, type Submission } from '../wire/rest.js'
import type { SubmittedView } from '../wire/task-answers.js'
import { cleanTraceparent } from '../wire/traceparent.js'
import type { RouteContext } from './answers.js'
import { parse } from './body.js'
import type { Exchange } from './exchange.js'
import { takeRequests } from './allowance.js'
import { textSize } from './views.js'

/** What is said of an encrypted submission, beside what is said of each. */
const ENCRYPTED = { encrypted: true, message: 'Inference task submitted with end-to-end encryption' } as const

/** The core said nothing of a submission, which is a fault of ours. */
export const NO_OUTCOME = refuse('internal', 'no outcome')

/** The entries of a batch, each by itself, in steps. */
export function* parseEntries(tasks: readonly unknown[]): Generator<void, Outcome<Submission>[]> {
  const parsed: Outcome<Submission>[] = []
  for (const task of tasks) {
    parsed.push(parse(submitBody, task))
    yield
  }
  return parsed
}

/** What one turn stores of a batch: so much takes about 20 ms, its commit with it, and others have their turns between the parts. */
const PART_ENTRIES = 400
const PART_UNITS = 2 ** 20

/** A batch in parts of a turn each, in its order; of an empty one the only part is empty. */
export function* partsOf(submissions: readonly Submission[]): Generator<Submission[]> {
  let part: Submission[] = []
  let units = 0
  for (const submission of submissions) {
    const size = textSize(submission)
    if (part.length === PART_ENTRIES || (part.length > 0 && units + size > PART_UNITS)) {
      yield part
      part = []
      units = 0
    }
    part.push(submission)
    units += size
  }
  yield part
}

/** What REST says of a submission: its id, whether it was known or not, and what its submitter should know, if anything. */
export const submitted = (
  o: Outcome<Submitted> = NO_OUTCOME,
  submission: Pick<Submission, 'is_encrypted'>,
): Outcome<SubmittedView> => (o.ok ? done(submittedView(o.value, submission)) : o)

export const submittedView = (o: Submitted, { is_encrypted }: Pick<Submission, 'is_encrypted'>): SubmittedView => ({
  task_id: o.task_id,
  ...(is_encrypted ? ENCRYPTED : {}),
  warnings: o.warnings,
})

/** A submission whose `task_id` is its `Idempotency-Key`, where it says no other: that of each token is its own. */
export function withIdempotencyKey(submission: Submission, c: RouteContext): Outcome<Submission> {
  const key = c.req.header('idempotency-key')
  if (key === undefined || submission.task_id !== null) return done(submission)
  const { token_id } = c.env.by.principal
  const taskId = v.safeParse(id, token_id === null ? key : `${token_id}.${key}`)
  return taskId.success
    ? done({ ...submission, task_id: taskId.output })
    : refuse('invalid_request', `Idempotency-Key: ${taskId.issues[0].message}; it becomes the task_id`)
}

/** The trace that a request is a part of; null: of none. */
export const traceOf = (c: RouteContext): string | null => cleanTraceparent(c.req.header('traceparent') ?? '')

/** A submission that names no trace of its own is a part of that of its request. */
export const inTrace = (traceparent: string | null, submission: Submission): Submission =>
  traceparent === null || submission.traceparent != null ? submission : { ...submission, traceparent }

export type Preparation = ReturnType<typeof createPreparation>

/**
 * What is done with submissions before the core sees them.
 * @param anonymous whether who shows no token may submit
 */
export function createPreparation(step: SubmissionStep | null, anonymous: boolean) {
  const all = async (
    list: readonly Outcome<Submission>[],
    exchange: Exchange,
  ): Promise<Outcome<readonly Outcome<Submission>[]>> => {
    // Who may not submit costs nothing: the core says so.
    if (step === null || (exchange.isStranger && !anonymous)) return done(list)
    let cost = 0
    let concerned = false
    for (const one of list) {
      if (!one.ok || !step.concerns(one.value)) continue
      concerned = true
      cost += step.cost(one.value)
    }
    if (!concerned) return done(list)
    const tooFast = takeRequests(exchange, cost)
    return tooFast ?? done(await step.take(list))
  }
  return {
    all,
    async one(submission: Submission, exchange: Exchange): Promise<Outcome<Submission>> {
      if (step?.concerns(submission) !== true) return done(submission)
      const taken = await all([done(submission)], exchange)
      return taken.ok ? (taken.value[0] ?? done(submission)) : taken
    },
  }
}
