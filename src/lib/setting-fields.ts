import * as v from 'valibot'
import { integerFrom } from '../wire/integer.js'
import { NETWORK, parseNetwork } from './networks.js'
import { described } from './settings.js'

// The kinds of settings that a configuration has.

export const integer = (min: number, max: number, fallback: number, description: string) =>
  described(v.optional(integerFrom(min, max), fallback), description)
export const days = (max: number, fallback: number, description: string) => {
  const expected = `must be a number of days from 0 to ${max}`
  return described(
    v.optional(v.pipe(v.number(expected), v.minValue(0, expected), v.maxValue(max, expected)), fallback),
    description,
  )
}
export const path = (description: string) =>
  described(v.optional(v.pipe(v.string('must be a path'), v.minLength(1, 'must be a path'))), description)

export const networks = (description: string) =>
  described(
    v.optional(
      v.array(
        v.pipe(
          v.string(NETWORK),
          v.check((text) => parseNetwork(text) !== null, NETWORK),
        ),
        'must be a list of networks',
      ),
      [],
    ),
    description,
  )
export const yesOrNo = (fallback: boolean, description: string) =>
  described(v.optional(v.boolean('must be true or false'), fallback), description)

/** A port that need not be; 0 takes a free one. */
export const port = (description: string) => described(v.optional(integerFrom(0, 65_535)), description)
const HOST = 'must be a host name or address'
export const host = (fallback: string, description: string) =>
  described(v.optional(v.pipe(v.string(HOST), v.minLength(1, HOST)), fallback), description)
