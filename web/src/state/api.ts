import { signal } from '@preact/signals'
import type { errorEnvelope } from '../../../src/wire/envelope.js'

/** Why there is no answer: `status` 0 where the service could not be reached. */
export interface Failure {
  ok: false
  status: number
  code: string
  /** A sentence of the service. */
  message: string
  /** Seconds after which it may be asked again. */
  retryAfter: number
}
export type Answer<T> = { ok: true; data: T } | Failure

/** Since when the service does not answer, Unix ms; null while it does. */
export const downSince = signal<number | null>(null)
export const reached = (isThere: boolean): void => {
  downSince.value = isThere ? null : (downSince.value ?? Date.now())
}

const KEY = 'token'
/** The page keeps it for as long as its tab is open, and gives it to nobody but the service. */
export const token = signal<string | null>(sessionStorage.getItem(KEY))
/** Why the token was not taken, as the service says it; null while it is. */
export const refusedToken = signal<string | null>(null)

export function setToken(text: string | null): void {
  if (text === null) sessionStorage.removeItem(KEY)
  else sessionStorage.setItem(KEY, text)
  refusedToken.value = null
  token.value = text
}

/** The headers that say who asks. */
export const credentials = (): Record<string, string> =>
  token.value === null ? {} : { Authorization: `Bearer ${token.value}` }

const UNREACHABLE: Failure = { ok: false, status: 0, code: 'unreachable', message: '', retryAfter: 1 }
/** The longest that an answer is waited for, ms. */
const PATIENCE_MS = 20_000

/** The answer of a route that is not in the envelope. */
export async function askText(path: string): Promise<Answer<string>> {
  try {
    const response = await fetch(path, { headers: credentials(), signal: AbortSignal.timeout(PATIENCE_MS) })
    const text = await response.text()
    return response.ok ? { ok: true, data: text } : failureOf(response, text)
  } catch {
    return UNREACHABLE
  }
}

/** Asks a route. What it says is what the contract has: both come from one build. */
export async function ask<T>(path: string, method: 'GET' | 'POST' | 'DELETE' = 'GET'): Promise<Answer<T>> {
  const asked = token.value
  try {
    const response = await fetch(path, { method, headers: credentials(), signal: AbortSignal.timeout(PATIENCE_MS) })
    const text = await response.text()
    reached(true)
    if (response.ok) return { ok: true, data: (JSON.parse(text) as { data: T }).data }
    const failure = failureOf(response, text)
    // A token that was good may be revoked, or have expired.
    if (failure.status === 401 && asked !== null && asked === token.value) refusedToken.value = failure.message
    return failure
  } catch {
    reached(false)
    return UNREACHABLE
  }
}

function failureOf({ status, headers }: Response, text: string): Failure {
  const retryAfter = Number(headers.get('Retry-After') ?? '1') || 1
  try {
    const { code, error } = JSON.parse(text) as ReturnType<typeof errorEnvelope>
    return { ok: false, status, code, message: error, retryAfter }
  } catch {
    // A proxy in between answers with a page of its own.
    return { ok: false, status, code: 'unreachable', message: `HTTP ${status}`, retryAfter }
  }
}
