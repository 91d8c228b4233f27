import { createParser } from 'eventsource-parser'
import * as v from 'valibot'
import { finishReason, jsonObject } from '../../wire/fields.js'
import type { FinishReason, Piece, Usage, WorkNotes } from '../task.js'
import { toolCallPiece } from '../tool-calls.js'
import { WorkError } from '../work-error.js'
import { parseJson, readRefusal, type Answer } from './model-server.js'
import { taskFaultOf } from './task-faults.js'

/** The longest line or event of a stream, in characters. */
const MAX_EVENT_CHARACTERS = 16 * 1024 * 1024

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const usageSchema = v.object({ prompt_tokens: count, completion_tokens: count })
/** A wrong usage must not cost the answer. */
const usage = v.optional(v.fallback(v.nullable(usageSchema), null))
/** Nor what the model thought, which each server calls as it likes and in a form of its own. */
const thought = v.optional(v.fallback(v.nullable(v.string()), null))
const said = {
  content: v.nullish(v.string()),
  /** What the model says in the place of an answer that it does not give. */
  refusal: thought,
  reasoning_content: thought,
  reasoning: thought,
}
const piece = v.object({
  choices: v.optional(
    v.array(
      v.object({
        delta: v.nullish(v.object({ ...said, tool_calls: v.nullish(v.array(toolCallPiece)) })),
        finish_reason: v.nullish(v.string()),
      }),
    ),
    [],
  ),
  usage,
})
const wholeMessage = v.object({ ...said, tool_calls: v.nullish(v.array(jsonObject)) })
type Said = Omit<v.InferOutput<typeof wholeMessage>, 'tool_calls'>
/** An answer that is no stream. */
export const wholeAnswer = v.object({
  choices: v.pipe(
    v.array(
      v.pipe(
        v.object({ message: wholeMessage, finish_reason: v.nullish(v.string()) }),
        v.check(({ message, finish_reason }) => message.content !== undefined || finish_reason != null, 'says nothing'),
      ),
    ),
    v.minLength(1),
  ),
  usage,
})
const failed = v.object({ error: v.union([v.string(), v.object({ message: v.string() })]) })

const thoughtOf = ({ reasoning_content, reasoning }: Said): string => reasoning_content || reasoning || ''
const textOf = ({ content, refusal }: Said): string => content || refusal || ''

/** Words that are not OpenAI's say no more than that it has ended. */
function readFinish(reason: string): FinishReason {
  if (v.is(finishReason, reason)) return reason
  return reason === 'function_call' ? 'tool_calls' : 'stop'
}

/** The answer that is a stream, piece by piece; the usage and how it ended at its end. */
export async function* readEvents(answer: Answer, shown: string): AsyncGenerator<Piece, WorkNotes> {
  const events: string[] = []
  let broken: string | null = null
  const parser = createParser({
    onEvent: ({ data }) => events.push(data),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') broken = 'a line that is too long'
    },
    maxBufferSize: MAX_EVENT_CHARACTERS,
  })
  const decoder = new TextDecoder()
  let used: Usage | undefined
  let finish: FinishReason | undefined
  const notes = (): WorkNotes => ({ usage: used, finish_reason: finish })
  try {
    for await (const chunk of answer.bytes()) {
      parser.feed(decoder.decode(chunk, { stream: true }))
      if (broken !== null) throw new WorkError(`the model server at ${shown} sent ${String(broken)}`)
      for (const data of events.splice(0)) {
        if (data.trim() === '[DONE]') return notes()
        const { choices, usage } = readPiece(data, shown)
        used = usage ?? used
        for (const { delta, finish_reason } of choices.slice(0, 1)) {
          if (delta != null) yield* piecesOf(delta)
          if (delta?.tool_calls != null && delta.tool_calls.length > 0) yield { tool_calls: delta.tool_calls }
          if (finish_reason != null && finish_reason !== '') finish = readFinish(finish_reason)
        }
      }
    }
  } catch (error) {
    if (finish === undefined) throw error // what breaks after the finish takes nothing from the answer
  }
  if (finish === undefined) throw new WorkError(`the model server at ${shown} ended its answer in the middle`)
  return notes()
}

/** The answer that came whole. */
export function* readWholeAnswer({
  choices: [first],
  usage,
}: v.InferOutput<typeof wholeAnswer>): Generator<Piece, WorkNotes> {
  if (first === undefined) return {}
  const { message, finish_reason } = first
  yield* piecesOf(message)
  return {
    usage: usage ?? undefined,
    finish_reason: finish_reason == null ? undefined : readFinish(finish_reason),
    tool_calls: message.tool_calls ?? undefined,
  }
}

/** What it says, after what it thought of it. */
function* piecesOf(message: Said): Generator<Piece> {
  const [reasoning, text] = [thoughtOf(message), textOf(message)]
  if (reasoning !== '') yield { reasoning }
  if (text !== '') yield text
}

function readPiece(data: string, shown: string): v.InferOutput<typeof piece> {
  const value = parseJson(data)
  if (v.is(failed, value)) {
    const refusal = readRefusal(400, data)
    throw new WorkError(`the model server at ${shown} failed in the middle of its answer`, {
      code: taskFaultOf(refusal) ?? undefined,
      detail: refusal.text,
    })
  }
  const parsed = v.safeParse(piece, value)
  if (!parsed.success) throw new WorkError(`the model server at ${shown} sent something else than pieces of an answer`)
  return parsed.output
}
