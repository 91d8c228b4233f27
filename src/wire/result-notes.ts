import * as v from 'valibot'
import { resultEntries } from './fields.js'

const notes = v.object(resultEntries)
/** What a result says beside output and confidence. */
export type ResultNotes = v.InferOutput<typeof notes>

/** As it is stored; null where it says nothing. */
export function writeNotes({ finish_reason, tool_calls, reasoning, usage }: ResultNotes): string | null {
  const said = Object.entries({ finish_reason, tool_calls, reasoning, usage }).filter(([, value]) => value != null)
  return said.length === 0 ? null : JSON.stringify(Object.fromEntries(said))
}

/** @param stored what `writeNotes` has made */
export const readNotes = (stored: string | null): ResultNotes =>
  stored === null ? {} : v.parse(notes, JSON.parse(stored))
