import type { Feature } from '../../wire/params.js'
import type { Offer } from '../offer.js'
import type { Work } from '../task.js'

/** What does the inference for a node. */
export interface Backend {
  /** Throws BackendDown when it cannot work at all, ModelMissing without the model, WorkError for what failed with one task. */
  work: Work
  /** What it understands beside plain text, at most: a check may say that it is less. Default: nothing. */
  features?: readonly Feature[]
  /**
   * Rejects with BackendDown while it cannot work.
   * @param wanted what the node is to serve; none: all there is
   * @returns what of it can be served, where the backend can tell and was asked
   */
  check(signal?: AbortSignal, wanted?: readonly string[]): Promise<Offer | void>
  /** What the backend can serve. Only where it can tell. */
  models?(signal?: AbortSignal): Promise<string[]>
}
