import type { Outcome } from '../lib/result.js'
import type { Submission } from '../wire/rest.js'

/** What doors do with a submission before the core sees it: decrypt it, and check what pays for it. */
export interface SubmissionStep {
  /** Whether there is something to do for this one. */
  concerns(submission: Submission): boolean
  /** What it counts as among the requests of an address, beside itself: what it costs in CPU. */
  cost(submission: Submission): number
  /** In their order; one that does not concern it is given back as it is. Never rejects. */
  take(list: readonly Outcome<Submission>[]): Promise<Outcome<Submission>[]>
}

/** Several steps as one, in their order; what one refuses comes to no other. */
export function inOrder(steps: readonly SubmissionStep[]): SubmissionStep {
  return {
    concerns: (submission) => steps.some((step) => step.concerns(submission)),
    cost: (submission) => steps.reduce((sum, step) => sum + (step.concerns(submission) ? step.cost(submission) : 0), 0),
    async take(list) {
      let taken = [...list]
      for (const step of steps) {
        if (taken.some((one) => one.ok && step.concerns(one.value))) taken = await step.take(taken)
      }
      return taken
    },
  }
}
