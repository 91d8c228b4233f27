import type { TaskEvent } from '../wire/task-events.js'
import type { Ask, Stored } from './asks.js'
import { aborted, failureOf, type InferenceError } from './errors.js'
import { createFollower } from './follower.js'
import { createPieces, type Piece } from './pieces.js'
import { createQueue } from './queue.js'
import { newTaskId } from './task-ids.js'
import type { InferenceResult, Submission } from './types.js'

/** How a call may be given up. */
export interface CallOptions {
  /** When it aborts, the call is rejected, and a task that it has submitted is cancelled. */
  signal?: AbortSignal | undefined
}

/** The text of a task as it comes: pieces to be read once, by one reader. */
export interface TextStream extends AsyncIterable<string> {
  /** Known at once: `watch` and `get` find the task by it. */
  readonly task_id: string
  /** The whole result, whoever reads the pieces. Rejected with an InferenceError. */
  readonly result: Promise<InferenceResult>
  /**
   * How often the text has begun anew, as of the last piece that was read: because another node had to begin again, and says
   * something else. What came before the first piece after a change is to be forgotten.
   */
  readonly restarted: number
}

/** Where asks go, and who has to be told that one is given up. */
export interface Door {
  add(ask: Ask): void
  giveUp(ask: Ask, cancel: boolean): void
}

interface AskParts {
  taskId: string
  submission: Submission | null
  watch: Ask['watch']
  signal: AbortSignal | undefined
  onStored?: (stored: Stored) => void
  onEvent?: (event: TaskEvent) => void
  onError: (error: InferenceError) => void
}

export type Tasks = ReturnType<typeof createTasks>

/** What is done with tasks that takes longer than a call. */
export function createTasks(door: Door) {
  /** @returns what ends it before its end */
  const open = (parts: AskParts): (() => void) => {
    const { taskId, submission, watch, signal, onStored, onEvent = () => undefined, onError } = parts
    const release = (): void => signal?.removeEventListener('abort', onAbort)
    const follower = createFollower(
      taskId,
      (event) => {
        if (event.event === 'result') release()
        onEvent(event)
      },
      watch === 'output',
    )
    const ask: Ask = {
      taskId,
      submission,
      watch,
      stage: 'unsent',
      isGivenUp: false,
      refusals: 0,
      place: follower.place,
      onStored: (stored) => onStored?.(stored),
      onEvent: follower.take,
      onError(error) {
        release()
        onError(error)
      },
    }
    const onAbort = (): void => {
      release()
      if (signal === undefined) return
      // In this order: what is given up is not told of its own end.
      door.giveUp(ask, submission !== null)
      onError(aborted(taskId, signal))
    }
    if (signal?.aborted === true) onError(aborted(taskId, signal))
    else {
      signal?.addEventListener('abort', onAbort)
      door.add(ask)
    }
    return () => {
      release()
      door.giveUp(ask, false)
    }
  }

  /** Tells of the end of a task, once. */
  const onResult =
    (resolve: (result: InferenceResult) => void, reject: (error: InferenceError) => void) =>
    (event: TaskEvent): void => {
      if (event.event !== 'result') return
      const { task_id, status, attempt, result } = event
      const failure = failureOf(event)
      if (failure !== null || result === null) return reject(failure ?? missing(task_id))
      resolve({ task_id, status, ...(attempt === undefined ? {} : { attempt }), ...result })
    }

  return {
    submit: (submission: Submission): Promise<Stored> =>
      new Promise((resolve, reject) => {
        const taskId = submission.task_id ?? newTaskId()
        open({ taskId, submission, watch: 'none', signal: undefined, onStored: resolve, onError: reject })
      }),

    run: (submission: Submission, { signal }: CallOptions): Promise<InferenceResult> =>
      new Promise((resolve, reject) => {
        const taskId = submission.task_id ?? newTaskId()
        open({ taskId, submission, watch: 'result', signal, onEvent: onResult(resolve, reject), onError: reject })
      }),

    stream(submission: Submission, { signal }: CallOptions): TextStream {
      const taskId = submission.task_id ?? newTaskId()
      const queue = createQueue<Piece>()
      const pieces = createPieces(queue.put)
      let restarted = 0
      const result = new Promise<InferenceResult>((resolve, reject) => {
        const fail = (error: InferenceError): void => {
          queue.fail(error)
          reject(error)
        }
        const finish = onResult((value) => {
          pieces.finish()
          queue.end()
          resolve(value)
        }, fail)
        const onEvent = (event: TaskEvent): void => {
          if (event.event === 'restart') pieces.restart()
          else if (event.event === 'output' && event.channel === 'text') pieces.add(event.delta)
          else finish(event)
        }
        open({ taskId, submission, watch: 'output', signal, onEvent, onError: fail })
      })
      result.catch(() => undefined) // who only reads is told by the reading
      async function* read(): AsyncGenerator<string, void, undefined> {
        for await (const piece of queue.read()) {
          restarted = piece.restarted
          yield piece.text
        }
      }
      return {
        task_id: taskId,
        result,
        get restarted() {
          return restarted
        },
        [Symbol.asyncIterator]: read,
      }
    },

    /** The events of a task until its end. Who stops reading leaves it alone, and so does an abort if it was there before. */
    async *watch(task: string | Submission, { signal }: CallOptions): AsyncGenerator<TaskEvent, void, undefined> {
      const queue = createQueue<TaskEvent>()
      const onEvent = (event: TaskEvent): void => {
        queue.put(event)
        if (event.event === 'result') queue.end()
      }
      const submission = typeof task === 'string' ? null : task
      const taskId = typeof task === 'string' ? task : (task.task_id ?? newTaskId())
      const leave = open({ taskId, submission, watch: 'output', signal, onEvent, onError: queue.fail })
      yield* queue.read(leave)
    },
  }
}

const missing = (taskId: string): InferenceError =>
  failureOf({ task_id: taskId, status: 'failed', result: null, error: null }) as InferenceError
