import * as v from 'valibot'
import { nodeMessages, type OutputChannel } from '../wire/node.js'
import { wantsVectors, type NodeTask, type Result, type TextStream, type Work, type WorkNotes } from './task.js'
import { createToolCalls, toolCallPiece } from './tool-calls.js'
import { WorkError } from './work-error.js'

export interface RunParts {
  work: Work
  task: NodeTask
  signal: AbortSignal
  /**
   * No answer longer than this fits the wire, in UTF-16 units, with what the model thought and the tools it calls: work is stopped
   * when it is reached.
   */
  maxCharacters: number
  /** Each piece of text of a stream. */
  onText(chunk: string, channel: OutputChannel): void
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
  const {
    text,
    streamed,
    notes: later,
  } = typeof output === 'string'
    ? { text: output, streamed: {}, notes: {} }
    : await collect(output, signal, maxCharacters, onText)
  // Vectors would come out as long again wherever they are made.
  if (wantsVectors(task) && text.length > maxCharacters)
    throw new WorkError(`the vectors are too large: more than ${maxCharacters} characters; ask for fewer at once`, {
      code: 'too_large',
    })
  const { confidence, usage, finish_reason, tool_calls, reasoning } = {
    ...notes,
    ...later,
    ...streamed,
  }
  const message = {
    type: 'task.complete',
    task_id: task.task_id,
    attempt: task.attempt,
    output: wellFormed(text),
    confidence: confidence ?? 1,
    ...(usage == null
      ? {}
      : { usage: { prompt_tokens: usage.prompt_tokens, completion_tokens: usage.completion_tokens } }),
    ...(finish_reason == null ? {} : { finish_reason }),
    ...(tool_calls == null || tool_calls.length === 0 ? {} : { tool_calls }),
    ...(reasoning == null || reasoning === '' ? {} : { reasoning: wellFormed(reasoning) }),
  }
  const parsed = v.safeParse(nodeMessages['task.complete'], message)
  if (!parsed.success)
    throw new WorkError(
      `the work function's answer cannot be used: ${v.getDotPath(parsed.issues[0]) ?? 'it'} ${parsed.issues[0].message}`,
    )
  return parsed.output
}

/** What is no text after all the schema refuses, with a sentence. */
const wellFormed = (text: string): string => (typeof text === 'string' ? text.toWellFormed() : text)

const otherPiece = v.union([v.object({ reasoning: v.string() }), v.object({ tool_calls: v.array(toolCallPiece) })])

/** What a stream has come to. */
interface Collected {
  text: string
  /** What came in pieces beside the text, whole. */
  streamed: WorkNotes
  /** What was said at the end. */
  notes: WorkNotes
}

async function collect(
  stream: TextStream,
  signal: AbortSignal,
  maxCharacters: number,
  onText: RunParts['onText'],
): Promise<Collected> {
  const iterator = stream[Symbol.asyncIterator]()
  const toolCalls = createToolCalls()
  const texts = { text: '', reasoning: '' }
  let characters = 0

  const take = (piece: unknown): void => {
    if (typeof piece === 'string') return takeText(piece, 'text')
    const parsed = v.safeParse(otherPiece, piece)
    if (!parsed.success)
      throw new WorkError(
        'the work function streamed something that is no text, no reasoning and no part of a call of a tool',
      )
    if ('reasoning' in parsed.output) return takeText(parsed.output.reasoning, 'reasoning')
    for (const part of parsed.output.tool_calls) count(toolCalls.add(part))
  }
  const takeText = (chunk: string, channel: OutputChannel): void => {
    texts[channel] += chunk
    count(chunk.length)
    if (chunk !== '') onText(chunk, channel)
  }
  const count = (more: number): void => {
    characters += more
    if (characters > maxCharacters)
      throw new WorkError(`the output is too large: more than ${maxCharacters} characters`)
  }

  try {
    for (;;) {
      const step = await iterator.next()
      signal.throwIfAborted()
      if (step.done === true) {
        const [{ text, reasoning }, calls] = [texts, toolCalls.list()]
        const streamed: WorkNotes = {
          ...(reasoning === '' ? {} : { reasoning }),
          ...(calls.length === 0 ? {} : { tool_calls: calls }),
        }
        return { text, streamed, notes: step.value ?? {} }
      }
      take(step.value)
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
