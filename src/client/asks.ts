import type { ClientServerMessage } from '../wire/client-answers.js'
import type { TaskEvent, TextPlace } from '../wire/task-events.js'
import type { InferenceError } from './errors.js'
import type { Submission } from './types.js'

/** What is known of a task once it is stored. */
export type Stored = Pick<Extract<ClientServerMessage, { type: 'task.submitted' }>, 'task_id' | 'warnings'>

/** Something that was asked of the service: a task to be stored, one to be watched, or both. */
export interface Ask {
  readonly taskId: string
  /** Null: the task is there. */
  readonly submission: Submission | null
  /** What is wanted of it: nothing more than that it is stored, its end, or also its text. */
  readonly watch: 'none' | 'result' | 'output'
  /** `sent`: the service may have it, and has not said so. */
  stage: 'unsent' | 'sent' | 'stored'
  /** It was given up, and its task has to be cancelled. Nothing is told of it any more. */
  isGivenUp: boolean
  /** How often the service could not do it now. */
  refusals: number
  /** Where its text goes on. */
  place(): TextPlace
  onStored(stored: Stored): void
  onEvent(event: TaskEvent): void
  onError(error: InferenceError): void
}
