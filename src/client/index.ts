import type { TaskEvent } from '../wire/task-events.js'
import type { Stored } from './asks.js'
import { createClient, type InferenceClientOptions } from './client.js'
import type { CallOptions, TextStream } from './tasks.js'
import type { InferenceResult, Model, NodeEntry, Stats, Submission, TaskDetail, TaskFilter, TaskLine } from './types.js'

export type { TaskEvent } from '../wire/task-events.js'
export type { Stored } from './asks.js'
export type { InferenceClientOptions } from './client.js'
export { InferenceError, type InferenceErrorCode } from './errors.js'
export type { CallOptions, TextStream } from './tasks.js'
export type * from './types.js'

/**
 * Asks an inference service, from Node.js or a web page: over a task session, and over REST and server-sent events where no
 * WebSocket gets through. What was asked survives lost connections and restarts of the service: it is asked again under the same
 * `task_id`, so it is one task, and text goes on where it was. Every call is rejected with an InferenceError.
 */
export class InferenceClient {
  readonly #client: ReturnType<typeof createClient>

  /** Connects when something is asked. @throws InferenceError when `url` is no address of a service */
  constructor(options: InferenceClientOptions) {
    this.#client = createClient(options)
  }

  /** Resolves once the task is on the disk of the service. */
  submit(task: Submission): Promise<Stored> {
    return this.#client.submit(task)
  }

  /** Submits a task and waits for its result. */
  run(task: Submission, options: CallOptions = {}): Promise<InferenceResult> {
    return this.#client.run(task, options)
  }

  /** Submits a task, at once, and gives its text as it comes. A reader that stops reading leaves the task alone. */
  stream(task: Submission, options: CallOptions = {}): TextStream {
    return this.#client.stream(task, options)
  }

  /**
   * What happens to a task until its end, by its id, whoever has submitted it; or to one that is submitted when the reading begins.
   * The last event is its `result`, also of one that failed. An abort cancels what was submitted here, and leaves others alone.
   */
  watch(task: string | Submission, options: CallOptions = {}): AsyncGenerator<TaskEvent, void, undefined> {
    return this.#client.watch(task, options)
  }

  get(taskId: string): Promise<TaskDetail> {
    return this.#client.get(taskId)
  }

  /** Tasks, the newest first; asked for page by page, as they are read. */
  list(filter: TaskFilter = {}): AsyncGenerator<TaskLine, void, undefined> {
    return this.#client.list(filter)
  }

  cancel(taskId: string): Promise<void> {
    return this.#client.cancel(taskId)
  }

  /** Opens a task again that has failed or timed out. */
  retry(taskId: string): Promise<void> {
    return this.#client.retry(taskId)
  }

  stats(): Promise<Stats> {
    return this.#client.stats()
  }

  nodes(): Promise<NodeEntry[]> {
    return this.#client.nodes()
  }

  /** What nodes serve that are there now. */
  models(): Promise<Model[]> {
    return this.#client.models()
  }

  /**
   * Ends its session. What waits is rejected with `closed`, and goes on at the service; what was aborted is cancelled first. A
   * session in which nothing waits ends by itself after 5 seconds.
   */
  close(): Promise<void> {
    return this.#client.close()
  }
}
