import * as v from 'valibot'
import { explainConnection, GIVE_ADDRESS, shownAddress } from './connection-error.js'
import { isUnreachable } from './network-error.js'
import { createTurns } from './turns.js'

/** A service as its REST contract shows it to a client. Every call throws RestError. */
export interface RestClient {
  get<S extends v.GenericSchema>(path: string, data: S): Promise<v.InferOutput<S>>
  post<S extends v.GenericSchema>(path: string, body: unknown, data: S): Promise<v.InferOutput<S>>
  /** A call without a body. */
  order<S extends v.GenericSchema>(method: 'POST' | 'DELETE', path: string, data: S): Promise<v.InferOutput<S>>
}

/** The service was not reached, or refused: the message is one sentence for a person. */
export class RestError extends Error {
  /** @param code what the service calls its refusal; null when it was not the service that answered */
  constructor(
    message: string,
    readonly code: string | null = null,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** It was not asked, or has not the work: of several that stand for each other the next one is asked. */
class Elsewhere extends RestError {
  /** @param owner the URL of the service that has it, where the other one has said it */
  constructor(
    message: string,
    code: string | null,
    readonly owner: string | null,
    options?: ErrorOptions,
  ) {
    super(message, code, options)
  }
}

/** How long a call waits for its answer, ms. */
const TIMEOUT_MS = 30_000

const envelope = v.object({
  success: v.boolean(),
  data: v.unknown(),
  error: v.nullable(v.string()),
  code: v.optional(v.string()),
  owner: v.fallback(v.nullish(v.string()), null),
})

/**
 * @param bases the service's address, such as `http://127.0.0.1:8080`, with a path where a proxy adds one, and with user and
 * password where a proxy wants them; or those of several that stand for each other, of which the first that has the work is asked
 * @param how.token shown with every call, instead of a login in the address; null where there is none
 * @param how.timeout how long a call waits for its answer, ms
 */
export function createRestClient(
  bases: string | readonly string[],
  { token = null, timeout = TIMEOUT_MS }: { token?: string | null; timeout?: number } = {},
): RestClient {
  const all = typeof bases === 'string' ? [bases] : bases
  const turns = createTurns(all)
  const addressAt = (place: number): string => all[place] ?? ''

  const callAt = async (base: string, path: string, init: { method?: string; body?: string }): Promise<unknown> => {
    const url = shownAddress(base)
    const login = token === null ? loginOf(base) : `Bearer ${token}`
    const headers = {
      ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(login === null ? {} : { authorization: login }),
    }
    let response: Response
    let text: string
    try {
      response = await fetch(url + path, { ...init, headers, redirect: 'manual', signal: AbortSignal.timeout(timeout) })
      text = await response.text()
    } catch (error) {
      const late = error instanceof Error && error.name === 'TimeoutError'
      const why = late
        ? `${url} has not answered within ${timeout / 1000} s; see in its log what the service does`
        : explainConnection(error, url)
      throw isUnreachable(error instanceof Error ? error.cause : error)
        ? new Elsewhere(why, null, null, { cause: error })
        : new RestError(why, null, { cause: error })
    }
    if (response.status === 204) return null
    const answer = v.safeParse(v.pipe(v.string(), v.parseJson(), envelope), text)
    if (!answer.success) throw new RestError(explainForeign(url, path, response))
    const { success, data, error, code = null, owner = null } = answer.output
    if (success) return data
    // Other things may be missing too, of which the service's own sentence says more.
    if (code === 'not_found' && error?.startsWith('there is no /') === true)
      throw new RestError(
        `${url} has no ${path.split('?')[0]}; check the path of the address, and that the service has the same version`,
        code,
      )
    const advice =
      code === 'unauthorized' && login === null ? '; --token-file FILE or STACKS_SIGNER_TOKEN shows it' : ''
    const why = (error ?? `${url} answers ${response.status} without a reason`) + advice
    throw code === 'not_owner' ? new Elsewhere(why, code, owner) : new RestError(why, code)
  }
  const call = async (path: string, init: { method?: string; body?: string }): Promise<unknown> => {
    for (;;) {
      const place = turns.at
      try {
        const data = await callAt(addressAt(place), path, init)
        turns.answered()
        return data
      } catch (error) {
        if (!(error instanceof Elsewhere) || !turns.failed(place, turns.placeOf(error.owner))) throw error
      }
    }
  }
  const read = <S extends v.GenericSchema>(schema: S, data: unknown): v.InferOutput<S> => {
    const parsed = v.safeParse(schema, data)
    if (!parsed.success)
      throw new RestError(
        `${shownAddress(addressAt(turns.at))} answers, but not as this inference service does; check the address, and that both have the same version`,
      )
    return parsed.output
  }
  return {
    get: async (path, data) => read(data, await call(path, {})),
    post: async (path, body, data) => read(data, await call(path, { method: 'POST', body: JSON.stringify(body) })),
    order: async (method, path, data) => read(data, await call(path, { method })),
  }
}

/** One sentence about an answer that no coordinator gives: what is there, and what to do. */
function explainForeign(url: string, path: string, { status, headers }: Response): string {
  if (status === 401 || status === 407)
    return `${url} wants a login (${status}); give user and password in the address, as in https://USER:PASSWORD@HOST`
  if (status >= 300 && status < 400) return `${url} is elsewhere (${status}); ${whereTo(headers.get('location'), path)}`
  if (status >= 500)
    return `${url} answers ${status}, as a proxy does that cannot reach the service; see whether it runs`
  const kind = headers.get('content-type')?.split(';')[0] ?? 'no type'
  const what = status === 200 ? `it answers with ${kind}` : `it answers ${status} to ${path.split('?')[0]}`
  return `${url} is no coordinator (${what}); ${GIVE_ADDRESS}`
}

/** What to do about a redirect: it is not followed, for a submission that is sent on may lose its body. */
function whereTo(location: string | null, path: string): string {
  const asked = path.split('?')[0] ?? ''
  if (location === null || !URL.canParse(location)) return GIVE_ADDRESS
  const target = shownAddress(location)
  return target.endsWith(asked) ? `use --url ${target.slice(0, -asked.length)}` : GIVE_ADDRESS
}

/** The login that is in an address, as the value of a header; null when there is none. */
export function loginOf(base: string): string | null {
  const { username, password } = new URL(base)
  const decoded = (part: string): string => {
    try {
      return decodeURIComponent(part)
    } catch {
      return part // a "%" that is meant as it is
    }
  }
  if (username === '' && password === '') return null
  return `Basic ${Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')}`
}
