import type { Work } from '../task.js'

/** What does the inference for a node. */
export interface Backend {
  /** Throws BackendDown when it cannot work at all, WorkError for what failed with one task. */
  work: Work
  /** Rejects with BackendDown while it cannot work. */
  check(signal?: AbortSignal): Promise<void>
  /** What the backend can serve. Only where it can tell. */
  models?(signal?: AbortSignal): Promise<string[]>
}
