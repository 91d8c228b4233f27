import { createHash } from 'node:crypto'
import { sortedJson } from '../../lib/canonical-json.js'
import { done, refuse, type Outcome } from '../../lib/result.js'
import * as v from 'valibot'
import { amount } from '../../wire/fields.js'
import { fillParams } from '../../wire/params.js'
import {
  paramsOf,
  type ChatBody,
  type ChatMessage,
  type CompletionBody,
  type EmbeddingBody,
} from '../../wire/openai.js'
import type { Submission } from '../../wire/rest.js'
import type { Caller } from '../../core/access/caller.js'
import type { RouteContext } from '../answers.js'
import type { OpenAiSettings } from '../route-parts.js'

/** What a request asks of a node. */
export type Prompt = Pick<Submission, 'user_input' | 'context' | 'params' | 'needs'>

const partsOf = (content: unknown): string[] =>
  typeof content === 'string'
    ? [content]
    : Array.isArray(content)
      ? content.flatMap((part: unknown) =>
          typeof part === 'object' && part !== null && 'text' in part && typeof part.text === 'string'
            ? [part.text]
            : [],
        )
      : []

/** The text of the newest message of the user, for people who look at the task. */
const lastQuestion = (messages: readonly ChatMessage[]): string => {
  const last = messages.findLast((m) => m.role === 'user') ?? messages.at(-1)
  return partsOf(last?.['content']).join('\n')
}

const isPlain = (message: ChatMessage | undefined, role: string): boolean =>
  message !== undefined &&
  message.role === role &&
  typeof message['content'] === 'string' &&
  Object.keys(message).length === 2

/** A chat that every node understands: a question, at most with a system's message before it, and no parameter. */
function plainChat(messages: readonly ChatMessage[]): Prompt | null {
  const [first, second] = messages
  const question = messages.length === 1 ? first : second
  const system = messages.length === 1 ? undefined : first
  if (messages.length > 2 || !isPlain(question, 'user') || (system !== undefined && !isPlain(system, 'system')))
    return null
  const context = partsOf(system?.['content']).join('')
  // A context in brackets may be taken for the earlier turns of a chat.
  return context.trimStart().startsWith('[')
    ? null
    : { user_input: partsOf(question?.['content']).join(''), context, params: null, needs: 0 }
}

export function chatPrompt(body: ChatBody): Prompt {
  const params = paramsOf(body)
  const { messages } = body
  const plain = Object.keys(params).length === 1 ? plainChat(messages) : null
  return plain ?? { user_input: lastQuestion(messages), context: '', ...fillParams(params) }
}

export function completionPrompt(body: CompletionBody): Prompt {
  const { prompt, ...params } = paramsOf(body)
  return { user_input: String(prompt), context: '', ...fillParams(params) }
}

/** `input` says that vectors are wanted. How they are encoded is this door's. */
export function embeddingPrompt(body: EmbeddingBody): Prompt {
  const { encoding_format: _, ...params } = paramsOf(body)
  const { input } = body
  return { user_input: typeof input === 'string' ? input : input.join('\n'), context: '', ...fillParams(params) }
}

/** For whom a task is that does not say it. */
export const addressOf = ({ principal }: Caller, { userAddress }: Pick<OpenAiSettings, 'userAddress'>): string =>
  (principal.role === 'user' ? principal.owners[0] : undefined) ?? userAddress

/** What the caller raises the fee to, micro-STX: the header, or `metadata.infer_fee`. It is never lowered. */
export function feeOf(c: RouteContext, body: Pick<ChatBody, 'metadata'>, least: number): Outcome<number> {
  const given = [c.req.header('x-infer-fee'), body.metadata?.['infer_fee']].filter((fee) => fee != null)
  let fee = least
  for (const one of given) {
    const parsed = v.safeParse(amount, typeof one === 'string' ? one.trim() : one)
    if (!parsed.success) return refuse('invalid_request', `infer_fee: ${parsed.issues[0].message}`)
    fee = Math.max(fee, parsed.output)
  }
  return done(fee)
}

/**
 * What tells a request from others: who asks, where, and what. A client that repeats it after a failure means the same task.
 */
export function joinKey(c: RouteContext, body: unknown): string {
  const { principal, address } = c.env.by
  const caller = principal.token_id ?? principal.owners[0] ?? address ?? ''
  return createHash('sha256')
    .update(JSON.stringify([caller, c.req.path]))
    .update(sortedJson(body))
    .digest('base64url')
}

/** Whether it is a repeat, as the official clients say it. */
export const isRepeat = (c: RouteContext): boolean => Number(c.req.header('x-stainless-retry-count') ?? 0) > 0
