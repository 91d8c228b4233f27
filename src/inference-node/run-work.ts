import * as v from 'valibot'
import { nodeMessages } from '../wire/node.js'
import type { NodeTask, Result, TextStream, Work, WorkNotes } from './task.js'
import { WorkError } from './work-error.js'

export interface RunParts {
  work: Work
  task: NodeTask
  signal: AbortSignal
  /** No output longer than this fits the wire, in UTF-16 units: work is stopped when it is reached. */
  maxCharacters: number
  /** Each piece of a stream. */
  onText(chunk: string): void
}

/**
 * Lets the work function make the result of one attempt.
 * @throws whatever the work function throws; WorkError when its answer cannot be used; the signal's reason when it aborted
 */
export async function runWork({ work, task, signal, maxCharacters, onText }: RunParts): Promise<Result> {
  const answer = await work(task, signal)
  signal.throwIfAborted()
  const { output, ...notes } =
    typeof answer === 'string' || Symbol.asyncIterator in answer ? { output: answer } : answer
  const collected =
    typeof output === 'string' ? { text: output, notes: {} } : await collect(output, signal, maxCharacters, onText)
  const { confidence, usage } = { ...notes, ...collected.notes }
  const message = {
    type: 'task.complete',
    task_id: task.task_id,
    attempt: task.attempt,
    output: typeof collected.text === 'string' ? collected.text.toWellFormed() : collected.text,
    confidence: confidence ?? 1,
    ...(usage == null
      ? {}
      : { usage: { prompt_tokens: usage.prompt_tokens, completion_tokens: usage.completion_tokens } }),
  }
  const parsed = v.safeParse(nodeMessages['task.complete'], message)
  if (!parsed.success)
    throw new WorkError(
      `the work function's answer cannot be used: ${v.getDotPath(parsed.issues[0]) ?? 'it'} ${parsed.issues[0].message}`,
    )
  return parsed.output
}

async function collect(
  stream: TextStream,
  signal: AbortSignal,
  maxCharacters: number,
  onText: (chunk: string) => void,
): Promise<{ text: string; notes: WorkNotes }> {
  const iterator = stream[Symbol.asyncIterator]()
  let text = ''
  try {
    for (;;) {
      const step = await iterator.next()
      signal.throwIfAborted()
      if (step.done === true) return { text, notes: step.value ?? {} }
      if (typeof step.value !== 'string') throw new WorkError('the work function streamed something that is no text')
      text += step.value
      if (text.length > maxCharacters)
        throw new WorkError(`the output is too large: more than ${maxCharacters} characters`)
      if (step.value !== '') onText(step.value)
    }
  } catch (error) {
    try {
      await iterator.return?.() // lets it clean up: it may hold a connection or a program
    } catch {
      // the first error tells what went wrong
    }
    throw error
  }
}
