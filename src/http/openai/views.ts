import type { ClientAnswer } from '../../wire/client-answers.js'
import type { OpenAiError } from '../../wire/openai.js'

type TaskResult = Extract<ClientAnswer, { type: 'task.result' }>
export type Answer = NonNullable<TaskResult['result']>

/** The task that a request became. */
export interface Asked {
  taskId: string
  model: string
  /** Unix seconds. */
  created: number
}

const usageOf = ({ usage }: Answer) => {
  const { prompt_tokens = 0, completion_tokens = 0 } = usage ?? {}
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
}
const finishOf = (answer: Answer): string =>
  answer.finish_reason ?? ((answer.tool_calls ?? []).length > 0 ? 'tool_calls' : 'stop')

/** How a kind of completion is written, whole and in pieces. */
export interface Form {
  whole(asked: Asked, answer: Answer): object
  /** What comes before the first piece; null: nothing. */
  begin(asked: Asked): object | null
  piece(asked: Asked, channel: 'text' | 'reasoning', delta: string): object | null
  /** What is said of an answer beside its text, and its end. */
  end(asked: Asked, answer: Answer): object[]
  usage(asked: Asked, answer: Answer): object
}

const chatHead = ({ taskId, model, created }: Asked) => ({
  id: `chatcmpl-${taskId}`,
  object: 'chat.completion.chunk',
  created,
  model,
})
const chatChunk = (asked: Asked, delta: object, finish_reason: string | null = null) => ({
  ...chatHead(asked),
  choices: [{ index: 0, delta, logprobs: null, finish_reason }],
})

export const chatForm: Form = {
  whole: (asked, answer) => ({
    ...chatHead(asked),
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: answer.output === '' && answer.tool_calls != null ? null : answer.output,
          refusal: null,
          ...(answer.reasoning == null ? {} : { reasoning_content: answer.reasoning }),
          ...(answer.tool_calls == null ? {} : { tool_calls: answer.tool_calls }),
        },
        logprobs: null,
        finish_reason: finishOf(answer),
      },
    ],
    usage: usageOf(answer),
  }),
  begin: (asked) => chatChunk(asked, { role: 'assistant', content: '' }),
  piece: (asked, channel, delta) =>
    chatChunk(asked, channel === 'text' ? { content: delta } : { reasoning_content: delta }),
  end: (asked, answer) => [
    ...(answer.tool_calls == null || answer.tool_calls.length === 0
      ? []
      : [chatChunk(asked, { tool_calls: answer.tool_calls.map((call, index) => ({ index, ...call })) })]),
    chatChunk(asked, {}, finishOf(answer)),
  ],
  usage: (asked, answer) => ({ ...chatHead(asked), choices: [], usage: usageOf(answer) }),
}

const textHead = ({ taskId, model, created }: Asked) => ({
  id: `cmpl-${taskId}`,
  object: 'text_completion',
  created,
  model,
})
const textChunk = (asked: Asked, text: string, finish_reason: string | null = null) => ({
  ...textHead(asked),
  choices: [{ index: 0, text, logprobs: null, finish_reason }],
})

export const completionForm: Form = {
  whole: (asked, answer) => ({ ...textChunk(asked, answer.output, finishOf(answer)), usage: usageOf(answer) }),
  begin: () => null,
  piece: (asked, channel, delta) => (channel === 'text' ? textChunk(asked, delta) : null),
  end: (asked, answer) => [textChunk(asked, '', finishOf(answer))],
  usage: (asked, answer) => ({ ...textHead(asked), choices: [], usage: usageOf(answer) }),
}

/** @returns null where the output is no list of vectors */
export function embeddings({ model }: Asked, answer: Answer, encoding: 'float' | 'base64'): object | null {
  const vectors = readVectors(answer.output)
  if (vectors === null) return null
  const { prompt_tokens } = usageOf(answer)
  return {
    object: 'list',
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: encoding === 'float' ? vector : Buffer.from(new Float32Array(vector).buffer).toString('base64'),
    })),
    model,
    usage: { prompt_tokens, total_tokens: prompt_tokens },
  }
}

function readVectors(output: string): number[][] | null {
  try {
    const value: unknown = JSON.parse(output)
    const isVector = (one: unknown): one is number[] => Array.isArray(one) && one.every((n) => typeof n === 'number')
    return Array.isArray(value) && value.every(isVector) ? value : null
  } catch {
    return null
  }
}

/** How a request ended without an answer. */
export interface Failure {
  status: 400 | 413 | 502 | 504
  error: OpenAiError
}

const failed = (status: Failure['status'], type: OpenAiError['type'], code: string, message: string): Failure => ({
  status,
  error: { message, type, param: null, code },
})

/** Why a task has no result, in their words; null when it has one. */
export function failureOf({ status, error, code, result }: TaskResult): Failure | null {
  if (result !== null) return null
  const why = error ?? 'the task has no result'
  if (code === 'context_length_exceeded')
    return {
      ...failed(400, 'invalid_request_error', code, why),
      error: { message: why, type: 'invalid_request_error', param: 'messages', code },
    }
  if (code === 'content_filter') return failed(400, 'invalid_request_error', code, why)
  if (code === 'too_large') return failed(413, 'invalid_request_error', code, why)
  if (status === 'timeout') return failed(504, 'server_error', 'timeout', why)
  return failed(502, 'server_error', why === 'cancelled' ? 'cancelled' : 'node_failed', why)
}

export const NOT_STARTED = (seconds: number): Failure =>
  failed(
    504,
    'server_error',
    'timeout',
    `no node took this request within ${seconds} s (openai.max_wait); it was cancelled`,
  )
