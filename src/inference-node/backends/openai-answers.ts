import { createParser } from 'eventsource-parser'
import * as v from 'valibot'
import type { Usage, WorkNotes } from '../task.js'
import { WorkError } from '../work-error.js'
import { parseJson, type Answer } from './model-server.js'

/** The longest line or event of a stream, in characters. */
const MAX_EVENT_CHARACTERS = 16 * 1024 * 1024

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const usageSchema = v.object({ prompt_tokens: count, completion_tokens: count })
/** A wrong usage must not cost the answer. */
const usage = v.optional(v.fallback(v.nullable(usageSchema), null))
const piece = v.object({
  choices: v.optional(
    v.array(
      v.object({
        delta: v.optional(v.object({ content: v.nullish(v.string()) })),
        finish_reason: v.nullish(v.string()),
      }),
    ),
    [],
  ),
  usage,
})
/** An answer that is no stream. */
export const wholeAnswer = v.object({
  choices: v.pipe(v.array(v.object({ message: v.object({ content: v.nullable(v.string()) }) })), v.minLength(1)),
  usage,
})
const failed = v.object({ error: v.union([v.string(), v.object({ message: v.string() })]) })

/** The text of an answer that is a stream, piece by piece; the usage at its end. */
export async function* readEvents(answer: Answer, shown: string): AsyncGenerator<string, WorkNotes> {
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
  let isFinished = false
  try {
    for await (const chunk of answer.bytes()) {
      parser.feed(decoder.decode(chunk, { stream: true }))
      if (broken !== null) throw new WorkError(`the model server at ${shown} sent ${String(broken)}`)
      for (const data of events.splice(0)) {
        if (data.trim() === '[DONE]') return { usage: used }
        const { choices, usage } = readPiece(data, shown)
        used = usage ?? used
        for (const { delta, finish_reason } of choices.slice(0, 1)) {
          if (delta?.content != null && delta.content !== '') yield delta.content
          if (finish_reason != null && finish_reason !== '') isFinished = true
        }
      }
    }
  } catch (error) {
    if (!isFinished) throw error // what breaks after the finish takes nothing from the answer
  }
  if (!isFinished) throw new WorkError(`the model server at ${shown} ended its answer in the middle`)
  return { usage: used }
}

function readPiece(data: string, shown: string): v.InferOutput<typeof piece> {
  const value = parseJson(data)
  const error = v.safeParse(failed, value)
  if (error.success) {
    const said = error.output.error
    throw new WorkError(`the model server at ${shown} failed in the middle of its answer`, {
      detail: (typeof said === 'string' ? said : said.message).slice(0, 500),
    })
  }
  const parsed = v.safeParse(piece, value)
  if (!parsed.success) throw new WorkError(`the model server at ${shown} sent something else than pieces of an answer`)
  return parsed.output
}
