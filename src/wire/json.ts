import { keepLongAmounts } from './amounts.js'
import { scanJson } from './json-scan.js'

export type Json =
  | { ok: true; value: unknown }
  /** `problem` is words that follow a subject, such as "the body". */
  | { ok: false; code: 'invalid' | 'too_large'; problem: string }

const NO_JSON: Json = { ok: false, code: 'invalid', problem: 'is not valid JSON' }

/**
 * Parses JSON text from outside: never holds the thread for more than its size explains, never rounds an amount, never throws.
 * An amount that a double may not hold is a string then.
 */
export function parseJson(text: string): Json {
  const scan = scanJson(text)
  if (scan.problem !== null) return { ok: false, code: 'too_large', problem: scan.problem }
  try {
    return { ok: true, value: JSON.parse(keepLongAmounts(text, scan)) }
  } catch {
    return NO_JSON
  }
}
