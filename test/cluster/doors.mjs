import { setTimeout as sleep } from 'node:timers/promises'

/** How long a client waits for an answer, ms. */
const ANSWER_MS = 8000
/** The wait before it is tried at another coordinator, ms. */
const RETRY_MS = 50

/** One request to one coordinator: `{ status, body, sent }`, `sent` on performance.now; null when no whole answer came. */
export async function ask(url, method, path, body, signal, patience = ANSWER_MS) {
  const late = AbortSignal.timeout(patience)
  const sent = performance.now()
  try {
    const response = await fetch(url + path, {
      method,
      signal: signal === undefined ? late : AbortSignal.any([late, signal]),
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? null : JSON.parse(text), sent }
  } catch {
    return null
  }
}

/**
 * A client that knows every coordinator, and asks the next where it is not answered. It begins where it was answered last.
 * @param patience how long each waits for an answer, ms
 * @returns null when `signal` ends the waiting
 */
export function createDoor(urls, ledger, from = 0, patience = ANSWER_MS) {
  let at = from % urls.length
  return async (method, path, body, signal) => {
    while (!signal.aborted) {
      const answer = await ask(urls[at], method, path, body, signal, patience)
      if (answer !== null && answer.status !== 503) return answer
      ledger.count('answers lost or refused for now')
      at = (at + 1) % urls.length
      await sleep(RETRY_MS)
    }
    return null
  }
}
