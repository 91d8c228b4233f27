import type * as v from 'valibot'
import type { finishReason, TaskErrorCode } from '../wire/fields.js'
import type { NodeMessage } from '../wire/node.js'
import type { ToolCallPiece } from './tool-calls.js'

/** One attempt of a task, as the work function sees it. */
export interface NodeTask {
  task_id: string
  /** The number of this try, from 1. */
  attempt: number
  /** The model that was asked for: one of the node's own, or just a family ("llama"). */
  model_name: string
  /** The family of the model. */
  model_type: string
  /** Which of the node's own models serves it: a name as the node offers it. */
  own_model: string
  user_input: string
  /** What came before; may be empty. */
  context: string
  /** Seconds, from receipt; the signal aborts when they are over. */
  max_infer_time: number
  /** Micro-STX. */
  infer_fee: number
  /**
   * How the answer is to be made, in the words of OpenAI's API, as the submitter has written it; with `messages` in it they are the
   * whole question. Only at nodes with the feature `params`, and only where the task says something.
   */
  params?: Readonly<Record<string, unknown>> | undefined
  /**
   * What a call that does the work is to have as its header `traceparent`, so that it joins the trace of the submitter. Undefined where
   * there is no trace, and where OpenTelemetry adds the header by itself.
   */
  traceparent?: string | undefined
}

/** Whether vectors are wanted and no text. */
export const wantsVectors = ({ params }: NodeTask): boolean => params?.['input'] != null

export type FinishReason = v.InferOutput<typeof finishReason>

export interface Usage {
  prompt_tokens: number
  completion_tokens: number
}

/** What a work function may say beside the text. */
export interface WorkNotes {
  /** 0 to 1; 1 when it is not given. */
  confidence?: number | undefined
  usage?: Usage | undefined
  /** How it came to its end. */
  finish_reason?: FinishReason | undefined
  /** The tools that it calls, in the words of OpenAI's API: at most 128. Those that were streamed come before. */
  tool_calls?: readonly Readonly<Record<string, unknown>>[] | undefined
  /** What the model thought before it answered, where that was not streamed. */
  reasoning?: string | undefined
}

/** A piece of a stream: text; what the model thinks before it; parts of calls of tools, which are put together. */
export type Piece = string | { reasoning: string } | { tool_calls: readonly ToolCallPiece[] }

/** An answer that is sent on while it is made. An async generator may return notes, such as `{confidence, usage}`, at its end. */
export type TextStream = AsyncIterable<Piece, WorkNotes | undefined | void>

/** What a work function answers: a text, a stream of text, or one of them with notes. */
export type WorkAnswer = string | TextStream | ({ output: string | TextStream } & WorkNotes)

/**
 * Does the inference. What it throws fails the attempt: another try is made, unless the error has `retryable: false`.
 * BackendDown also makes the node take no more tasks until its `check` passes.
 * @param signal aborts when the task is cancelled or out of time; the answer no longer matters then
 */
export type Work = (task: NodeTask, signal: AbortSignal) => WorkAnswer | Promise<WorkAnswer>

/** Names one attempt. */
export interface AttemptRef {
  task_id: string
  attempt: number
}

/** What an attempt came to: what the coordinator is told, again and again until it has settled it. */
export type Result = Extract<NodeMessage, { type: 'task.complete' | 'task.fail' }>

/** The form attempts are looked up by: a task_id never holds a slash. */
export const attemptKey = ({ task_id, attempt }: AttemptRef): string => `${task_id}/${attempt}`

/** The longest reason or error that goes on the wire, in UTF-16 units. */
const MAX_REASON_LENGTH = 4096

/** A reason that fits the wire: valid Unicode of bounded length. */
export const wireReason = (text: string): string => text.slice(0, MAX_REASON_LENGTH).toWellFormed()

/** A failed attempt. @param code what is wrong with the task itself */
export const failure = (
  { task_id, attempt }: AttemptRef,
  error: string,
  { retryable = true, code }: { retryable?: boolean; code?: TaskErrorCode | undefined } = {},
): Result => ({
  type: 'task.fail',
  task_id,
  attempt,
  error: wireReason(error),
  retryable,
  ...(code === undefined ? {} : { code }),
})
