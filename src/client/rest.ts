import * as v from 'valibot'
import { jitteredWait, RECONNECT } from '../lib/backoff.js'
import { pause, within } from '../lib/timer.js'
import { createTurns } from '../lib/turns.js'
import type { Address, Addresses } from './address.js'
import { InferenceError } from './errors.js'

/** How long an answer that nothing has to be waited for may take, ms. */
const TIMEOUT_MS = 30_000
/** How often what the service cannot do now is tried again. */
const MAX_TRIES = 6
/** The longest that a service may make a call wait before it is tried again, ms. */
const MAX_RETRY_AFTER_MS = 30_000

const envelope = v.object({
  success: v.boolean(),
  data: v.unknown(),
  error: v.nullable(v.string()),
  code: v.optional(v.string()),
  owner: v.fallback(v.nullish(v.string()), null),
})
/** Where OpenAI's API has its errors. */
const openAiError = v.object({ error: v.object({ message: v.string(), code: v.nullish(v.string()) }) })

/** What a service, or a proxy before it, cannot do now and may do later. */
const LATER: ReadonlySet<string> = new Set(['rate_limited', 'queue_full', 'unavailable', 'stopping', 'not_owner'])
export const isLater = (code: string): boolean => LATER.has(code)

/** Of several that stand for each other the next one is asked. */
const ELSEWHERE: ReadonlySet<string> = new Set(['unreachable', 'stopping', 'not_owner'])
/** Nobody is there who does what is asked. */
const isGone = (code: string): boolean => code === 'unreachable' || code === 'not_owner'

/** How a call ended that may be tried again. */
class Later extends InferenceError {
  /** @param after ms; null: nothing was said */
  constructor(
    code: string,
    message: string,
    readonly after: number | null,
    /** The URL of the service that has the work, where another one has said it. */
    readonly owner: string | null | undefined,
  ) {
    super(code, message)
  }
}

/** How long the service asks to be left alone before it is tried again, ms; null where it has not said that. */
export const retryAfterOf = (error: unknown): number | null => (error instanceof Later ? error.after : null)

/** Where a task is. */
export const pathOf = (taskId: string): string => `/api/v1/tasks/${encodeURIComponent(taskId)}`

export interface Call {
  method?: 'GET' | 'POST'
  body?: string
  headers?: Record<string, string>
  /** ms */
  timeout?: number
  /** For how long it is tried again while nobody is to be reached, ms. */
  patience?: number
  /** Ends it, with its reason. */
  signal: AbortSignal
}

/** The token to show, or what makes one. */
export type Token = string | (() => string | Promise<string>) | undefined

export type Rest = ReturnType<typeof createRest>

/** The calls of REST. Each throws InferenceError. */
export function createRest(addresses: Addresses, token: Token) {
  const turns = createTurns(addresses.map(({ base }) => base))
  const address = (): Address => addresses[turns.at] ?? addresses[0]
  /** Does something at the service whose turn it is. A failure says whose turn is next, and whether at once. */
  const inTurn = async <T>(
    signal: AbortSignal,
    use: (address: Address) => Promise<T>,
    onFailure?: (atOnce: boolean) => void,
  ): Promise<T> => {
    const place = turns.at
    try {
      const got = await use(address())
      turns.answered()
      return got
    } catch (error) {
      if (!signal.aborted && error instanceof InferenceError && ELSEWHERE.has(error.code)) {
        const atOnce = turns.failed(place, turns.placeOf(error instanceof Later ? error.owner : null))
        onFailure?.(atOnce)
      }
      throw error
    }
  }

  /** One try; the answer is there when its head is. */
  const send = async (
    { base, login }: Address,
    path: string,
    { method = 'GET', body, headers = {}, signal }: Call,
  ): Promise<Response> => {
    const own = typeof token === 'function' ? await token() : token
    const shown = own === undefined ? login : `Bearer ${own}`
    const all = {
      ...headers,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(shown === null ? {} : { authorization: shown }),
    }
    try {
      return await fetch(base + path, { method, headers: all, signal, ...(body === undefined ? {} : { body }) })
    } catch (error) {
      throw unreachable(base, error, signal)
    }
  }
  const once = (at: Address, path: string, call: Call): Promise<unknown> =>
    within(
      call.timeout ?? TIMEOUT_MS,
      call.signal,
      async (signal) => {
        const answer = await send(at, path, { ...call, signal })
        const text = await answer.text().catch((error: unknown) => {
          throw unreachable(at.base, error, signal)
        })
        return read(at.base, path, answer, text)
      },
      new InferenceError('unreachable', `${at.base} has not answered in time`),
    )

  /** Tries until it is answered, or for as long as the call says. */
  const call = async (path: string, call: Call): Promise<unknown> => {
    const { patience = 0, signal } = call
    const begun = performance.now()
    for (let tries = 1; ; tries++) {
      let atOnce = false
      try {
        return await inTurn(
          signal,
          (at) => once(at, path, call),
          (next) => (atOnce = next),
        )
      } catch (error) {
        if (!(error instanceof InferenceError) || signal.aborted) throw error
        if (atOnce) {
          tries--
          continue
        }
        const again =
          (error instanceof Later && tries < MAX_TRIES) || (isGone(error.code) && performance.now() - begun < patience)
        if (!again) throw error
        const said = error instanceof Later ? (error.after ?? 0) : 0
        await pause(Math.min(said, MAX_RETRY_AFTER_MS) + jitteredWait(RECONNECT, tries), signal)
        signal.throwIfAborted()
      }
    }
  }

  return {
    /** The data of an answer; null where it has none. */
    call,
    async get<S extends v.GenericSchema>(path: string, schema: S, signal: AbortSignal): Promise<v.InferOutput<S>> {
      return parsed(address().base, schema, await call(path, { signal }))
    },
    parse: <S extends v.GenericSchema>(schema: S, data: unknown): v.InferOutput<S> =>
      parsed(address().base, schema, data),
    /** An answer whose body comes piece by piece; null where there is none. It has to have begun within 30 s. */
    open: (path: string, call: Call): Promise<ReadableStream<Uint8Array> | null> =>
      inTurn(call.signal, async (at) => {
        // The signal of `within` is over with it, and the body goes on.
        const own = new AbortController()
        const answer = await within(TIMEOUT_MS, call.signal, (signal) => {
          signal.addEventListener('abort', () => own.abort(signal.reason))
          return send(at, path, { ...call, signal: own.signal })
        })
        const end = (): void => own.abort(call.signal.reason)
        if (call.signal.aborted) end()
        else call.signal.addEventListener('abort', end)
        if (answer.status === 200) return answer.body
        const text = await answer.text()
        read(at.base, path, answer, text)
        return null
      }),
    /** Where sessions are held now. */
    session: (): string => address().session ?? '',
    /** A session has begun there. */
    answered: turns.answered,
    /** A session is to go on at this URL. @returns whether that is another one that is known */
    leadsAway(url: string | undefined): boolean {
      const place = turns.placeOf(url)
      if (place < 0 || place === turns.at) return false
      turns.goTo(place)
      return true
    },
    /** Whether the service answers where no session was to be had. `next`: it does not, and another one may. */
    async isThere(signal: AbortSignal): Promise<boolean | 'next'> {
      let isNext = false
      try {
        await inTurn(
          signal,
          (at) => once(at, '/health', { signal, timeout: 5000 }),
          (atOnce) => (isNext = atOnce),
        )
        return true
      } catch (error) {
        if (isNext) return 'next'
        // Also one that is unwell is there; a proxy that finds none has no code.
        return error instanceof InferenceError && !isGone(error.code) && error.code !== 'invalid_answer'
      }
    },
  }
}

function unreachable(base: string, error: unknown, signal: AbortSignal): InferenceError {
  if (signal.reason instanceof InferenceError) return signal.reason
  // The error of fetch says no more than that it failed.
  const root = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const why = root instanceof Error ? ('code' in root && typeof root.code === 'string' ? root.code : root.message) : ''
  return new InferenceError('unreachable', `${base} cannot be reached (${why})`, null, { cause: error })
}

function parsed<S extends v.GenericSchema>(base: string, schema: S, data: unknown): v.InferOutput<S> {
  const found = v.safeParse(schema, data)
  if (!found.success)
    throw new InferenceError(
      'invalid_answer',
      `${base} answers, but not as this inference service of this version does`,
    )
  return found.output
}

/** What an answer says. @throws InferenceError when it is a refusal, or none of this service */
function read(base: string, path: string, { status, headers }: Response, text: string): unknown {
  if (status === 204) return null
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    // of a proxy
  }
  const answer = v.safeParse(envelope, json)
  if (answer.success && answer.output.success) return answer.output.data
  if (json !== undefined && status === 200 && !answer.success) return json
  const failure = v.safeParse(openAiError, json)
  const [code, message] = answer.success
    ? [answer.output.code, answer.output.error]
    : failure.success
      ? [failure.output.error.code, failure.output.error.message]
      : [null, null]
  const why = message ?? `${base} answers ${status} to ${path.split('?')[0]}, as no inference service does`
  const seconds = Number(headers.get('retry-after') ?? NaN)
  const after = Number.isFinite(seconds) ? seconds * 1000 : null
  if (code != null && isLater(code)) throw new Later(code, why, after, answer.success ? answer.output.owner : null)
  // A proxy that finds no service behind it.
  if (code == null && (status === 502 || status === 503 || status === 504)) throw new InferenceError('unreachable', why)
  throw new InferenceError(code ?? 'invalid_answer', why)
}
