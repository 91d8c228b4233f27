import { Agent, request, type Dispatcher } from 'undici'
import * as v from 'valibot'
import { explainNetworkError } from '../../lib/network-error.js'
import { BackendDown, ModelMissing, WorkError } from '../work-error.js'
import { isAboutParameter, taskFaultOf, type Refusal } from './task-faults.js'

export interface ModelServerParts {
  /** How the server is called in errors: its URL without user, password and query. */
  shown: string
  headers: Record<string, string>
  /** Seconds without a byte after which it counts as hanging. */
  stallTimeout: number
}

/** A running answer: its bytes, watched for a stall. Read it to its end, break off, or drop it: each frees the connection. */
export interface Answer {
  contentType: string
  status: number
  bytes(): AsyncGenerator<Buffer, void>
  drop(): void
}

export type ModelServer = ReturnType<typeof createModelServer>

const CONNECT_TIMEOUT_MS = 10_000
/** The largest answer that is read whole. */
const MAX_WHOLE_BYTES = 64 * 1024 * 1024
const MAX_ERROR_BYTES = 64 * 1024
/** Answers that are about the server and not about the task: not allowed, not there, too busy. */
const DOWN_STATUSES = new Set([401, 403, 404, 429, 502, 503])

const errorFields = v.object({
  message: v.string(),
  code: v.optional(v.unknown()),
  type: v.optional(v.unknown()),
  param: v.optional(v.unknown()),
})
/** With an envelope, as most write it, or without. */
const errorBody = v.union([v.object({ error: v.union([v.string(), errorFields]) }), errorFields])

/** Calls to one HTTP server that makes text: slow answers are waited for, hanging ones are not. */
export function createModelServer({ shown, headers, stallTimeout }: ModelServerParts) {
  // No limit on the time to the first byte or between two: that is `stallTimeout`'s. No kept connection: a call takes
  // seconds, and one that goes to a connection the server just closed would look as if the server were down.
  const agent = new Agent({
    headersTimeout: 0,
    bodyTimeout: 0,
    pipelining: 0,
    connect: { timeout: CONNECT_TIMEOUT_MS },
  })

  /** @param traceparent the trace that it is a part of */
  const open = async (
    method: Dispatcher.HttpMethod,
    url: string,
    body: unknown,
    signal: AbortSignal | undefined,
    traceparent?: string,
  ): Promise<Answer> => {
    const stall = new AbortController()
    const stalled = new WorkError(`the model server at ${shown} hangs: no byte for ${stallTimeout} s`)
    const watch = setTimeout(() => stall.abort(stalled), Math.min(stallTimeout * 1000, 2 ** 31 - 1))
    const end = (): void => clearTimeout(watch)
    try {
      const answer = await request(url, {
        method,
        dispatcher: agent,
        signal: signal === undefined ? stall.signal : AbortSignal.any([signal, stall.signal]),
        headers: {
          ...headers,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(traceparent === undefined ? {} : { traceparent }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      answer.body.on('error', () => undefined) // whoever reads gets it; an answer that is aborted before that has no reader
      const type = answer.headers['content-type']
      return {
        contentType: (Array.isArray(type) ? type[0] : type)?.toLowerCase() ?? '',
        status: answer.statusCode,
        async *bytes() {
          try {
            for await (const chunk of answer.body as AsyncIterable<Buffer>) {
              watch.refresh()
              yield chunk
            }
          } catch (error) {
            throw signal?.aborted === true || stall.signal.aborted
              ? error
              : new WorkError(`the model server at ${shown} broke off in the middle of an answer`, { cause: error })
          } finally {
            end()
          }
        },
        drop() {
          end()
          answer.body.destroy()
        },
      }
    } catch (error) {
      end()
      if (signal?.aborted === true || stall.signal.aborted) throw error
      const { protocol, host } = new URL(url)
      const peer = { subject: `the model server at ${shown}`, secure: protocol === 'https:', host }
      throw new BackendDown(explainNetworkError(peer, error), { cause: error })
    }
  }

  /**
   * Throws for an answer that is no success. What the server says is told to the coordinator, not logged.
   * @param model the server's name of the model it was asked for: an answer that there is none is a ModelMissing
   */
  const requireSuccess = async (answer: Answer, model?: string): Promise<void> => {
    const { status } = answer
    if (status >= 200 && status < 300) return
    const refusal = readRefusal(status, await readWhole(answer, MAX_ERROR_BYTES))
    const { text } = refusal
    if (model !== undefined && isMissingModel(refusal))
      throw new ModelMissing(`the model server at ${shown} has no ${model}`, { detail: text })
    const message = `the model server at ${shown} answers ${status}`
    // A refused key is quoted in what the server says.
    if (DOWN_STATUSES.has(status))
      throw new BackendDown(message, { detail: status === 401 || status === 403 ? '' : text })
    const code = taskFaultOf(refusal)
    if (code !== null) throw new WorkError(message, { code, detail: text })
    throw new WorkError(message, { retryable: !isAboutParameter(refusal), detail: text })
  }

  const readWhole = async (answer: Answer, limit: number): Promise<string> => {
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of answer.bytes()) {
      size += chunk.length
      if (size > limit) throw new WorkError(`the model server at ${shown} answers more than ${limit} bytes`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks).toString()
  }

  const readJson = async <S extends v.GenericSchema>(answer: Answer, schema: S): Promise<v.InferOutput<S>> => {
    const body = await readWhole(answer, MAX_WHOLE_BYTES)
    const parsed = v.safeParse(schema, parseJson(body))
    if (parsed.success) return parsed.output
    throw new WorkError(
      `the model server at ${shown} answers something else than expected (${v.getDotPath(parsed.issues[0]) ?? 'no JSON of the right kind'})`,
    )
  }

  return { open, requireSuccess, readJson, readWhole }
}

/** undefined for what is no JSON: no schema takes it. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What an answer that is no success says. @param status what it would have been, where it was said in an answer that had begun */
export function readRefusal(status: number, body: string): Refusal {
  const parsed = v.safeParse(errorBody, parseJson(body))
  const error = !parsed.success ? body : 'error' in parsed.output ? parsed.output.error : parsed.output
  const { message, ...fields } = typeof error === 'string' ? { message: error } : error
  return { status, text: message.trim().slice(0, 500), isStructured: parsed.success, ...fields }
}

/** A code says it wherever it is. A sentence counts only with 404: others may quote the prompt. */
const isMissingModel = ({ status, code, text, isStructured }: Refusal): boolean =>
  isStructured &&
  ((code === 'model_not_found' && status >= 400 && status < 500) || (status === 404 && /\bmodels?\b/i.test(text)))

/** A URL for logs and errors. */
export function shownUrl(url: string): string {
  const { protocol, host, pathname } = new URL(url)
  return `${protocol}//${host}${pathname}`
}
