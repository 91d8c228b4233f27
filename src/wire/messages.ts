import * as v from 'valibot'
import { fit } from './fields.js'

// What the messages of all sessions have in common.

/** The most messages one array frame may carry. */
export const MAX_FRAME_MESSAGES = 256

/** Which text a piece is of: the answer, or what the model thought before. Offsets count in each by itself. */
export const outputChannel = v.picklist(['text', 'reasoning'], 'must be one of text, reasoning')
export type OutputChannel = v.InferOutput<typeof outputChannel>

/** One parsed message, or what to answer about it. */
export type Parsed<M> =
  | { ok: true; message: M }
  | { ok: false; code: 'invalid_message' | 'unknown_type'; problem: string }

/**
 * Parses a value by the schema that its `type` names: one look-up, no union.
 * @param lists how long a list of a message may be, where it is refused before its members are looked at: there may be millions
 */
export function parserOf<T extends Record<string, v.GenericSchema>>(
  table: T,
  lists: { readonly [Type in keyof T]?: Readonly<Record<string, number>> } = {},
) {
  const schemas = new Map<string, v.GenericSchema>(Object.entries(table))
  const limits = new Map(Object.entries<Readonly<Record<string, number>> | undefined>(lists))
  return (value: unknown): Parsed<v.InferOutput<T[keyof T]>> => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return { ok: false, code: 'invalid_message', problem: 'a message must be a JSON object with a string type' }
    }
    const type: unknown = 'type' in value ? value.type : undefined
    if (typeof type !== 'string') return { ok: false, code: 'invalid_message', problem: 'type: must be a string' }
    const schema = schemas.get(type)
    if (schema === undefined)
      return { ok: false, code: 'unknown_type', problem: `unknown type ${JSON.stringify(type.slice(0, 64))}` }
    const tooLong = tooLongList(value, limits.get(type))
    if (tooLong !== null) return { ok: false, code: 'invalid_message', problem: `${type}: ${tooLong}` }
    const fitted = fit(schema, value)
    return fitted.ok
      ? { ok: true, message: fitted.value as v.InferOutput<T[keyof T]> }
      : { ok: false, code: 'invalid_message', problem: `${type}: ${fitted.problem}` }
  }
}

function tooLongList(message: object, limits: Readonly<Record<string, number>> = {}): string | null {
  for (const [field, most] of Object.entries(limits)) {
    const list: unknown = Reflect.get(message, field)
    if (Array.isArray(list) && list.length > most) return `${field}: must have at most ${most} entries`
  }
  return null
}
