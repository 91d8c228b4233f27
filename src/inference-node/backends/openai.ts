import { createParser } from 'eventsource-parser'
import * as v from 'valibot'
import { serverModel } from '../model-names.js'
import type { NodeTask, TextStream, Usage, WorkNotes } from '../task.js'
import { WorkError } from '../work-error.js'
import type { Backend } from './backend.js'
import { createModelServer, parseJson, shownUrl, type Answer } from './model-server.js'
import { messagesOf } from './prompt.js'

export interface OpenAiOptions {
  /** Up to and with the version: default Ollama's, `http://127.0.0.1:11434/v1`. */
  baseUrl?: string | undefined
  /** Sent as `Authorization: Bearer`. */
  apiKey?: string | undefined
  /** The models the node lists, so that a task for just a family finds one. */
  models?: readonly string[] | undefined
  /** Served name to the server's name. */
  mapping?: Readonly<Record<string, string>> | undefined
  /** Seconds without a byte after which the server counts as hanging. Default 120. */
  stallTimeout?: number | undefined
}

export const DEFAULT_BASE_URL = 'http://127.0.0.1:11434/v1'
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
const whole = v.object({
  choices: v.pipe(v.array(v.object({ message: v.object({ content: v.nullable(v.string()) }) })), v.minLength(1)),
  usage,
})
const failed = v.object({ error: v.union([v.string(), v.object({ message: v.string() })]) })
const modelList = v.object({ data: v.array(v.object({ id: v.string() })) })

/** Any server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp, LM Studio and others. */
export function openai(options: OpenAiOptions = {}): Backend {
  const { baseUrl = DEFAULT_BASE_URL, apiKey, models: listed = [], mapping = {}, stallTimeout = 120 } = options
  const base = baseUrl.replace(/\/+$/, '')
  const shown = shownUrl(base)
  const server = createModelServer({
    shown,
    stallTimeout,
    headers: apiKey === undefined || apiKey === '' ? {} : { authorization: `Bearer ${apiKey}` },
  })
  let canIncludeUsage = true

  const ask = async (task: NodeTask, signal: AbortSignal): Promise<Answer> => {
    const body = {
      model: serverModel(mapping, listed, task.model_name, task.model_type),
      messages: messagesOf(task),
      stream: true,
      ...(canIncludeUsage ? { stream_options: { include_usage: true } } : {}),
    }
    const answer = await server.open('POST', `${base}/chat/completions`, body, signal)
    try {
      await server.requireSuccess(answer)
      return answer
    } catch (error) {
      // Older servers do not know the option.
      if (
        !canIncludeUsage ||
        answer.status !== 400 ||
        !(error instanceof WorkError) ||
        !error.detail.includes('stream_options')
      )
        throw error
      canIncludeUsage = false
      return ask(task, signal)
    }
  }

  const stream = async function* (task: NodeTask, signal: AbortSignal): AsyncGenerator<string, WorkNotes> {
    const answer = await ask(task, signal)
    if (answer.contentType.startsWith('application/json')) {
      const { choices, usage } = await server.readJson(answer, whole)
      yield choices[0]?.message.content ?? ''
      return { usage: usage ?? undefined }
    }
    return yield* readEvents(answer, shown)
  }

  return {
    work: (task, signal): TextStream => stream(task, signal),
    async check(signal) {
      const answer = await server.open('GET', `${base}/models`, undefined, signal)
      // A server without this route is there all the same.
      if (![404, 405, 501].includes(answer.status)) await server.requireSuccess(answer)
      await server.readWhole(answer, MAX_EVENT_CHARACTERS)
    },
    async models(signal) {
      const answer = await server.open('GET', `${base}/models`, undefined, signal)
      await server.requireSuccess(answer)
      return (await server.readJson(answer, modelList)).data.map((m) => m.id)
    },
  }
}

async function* readEvents(answer: Answer, shown: string): AsyncGenerator<string, WorkNotes> {
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
