import * as v from 'valibot'
import { ConfigError } from '../../lib/config-error.js'
import { explain } from '../../wire/fields.js'
import { normalizeKey } from '../../wire/keys.js'
import { tokenId } from '../../wire/access.js'
import { parseFlags } from '../service-call.js'

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/**
 * A time such as `90d`, in seconds; undefined where the flag was not given, null for `never`.
 * @throws ConfigError when it is none
 */
export function durationFlag(flag: string, text: string | undefined): number | null | undefined {
  if (text === undefined) return undefined
  if (text === 'never') return null
  const [, count, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (count === undefined)
    throw new ConfigError(`${flag}: must be a time such as 90d, 24h or 30m, not ${JSON.stringify(text)}`)
  return Number(count) * (UNIT_SECONDS[unit] ?? 0)
}

/** A list whose parts stand between commas; undefined where the flag was not given. */
export const listFlag = (text: string | undefined): string[] | undefined => text?.split(',').map((part) => part.trim())

/** What is a number as one; the rest as it is, for the schema to refuse. */
export const numberFlag = (text: string | undefined): number | string | undefined =>
  text !== undefined && /^\d{1,16}$/.test(text) ? Number(text) : text

/** What was given. */
export const given = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

/**
 * The body of a request, made of flags.
 * @param flags by field; one that is not here has the name of its field
 * @throws ConfigError a sentence that names the flag
 */
export function bodyOf<S extends v.GenericSchema>(
  schema: S,
  fields: unknown,
  flags: Readonly<Record<string, string>>,
): v.InferOutput<S> {
  const result = v.safeParse(schema, fields, { abortEarly: true })
  if (result.success) return result.output
  throw new ConfigError(
    explain(result.issues).replace(
      /^(?:limits\.)?([a-z_]+)(?:\.\d+)?(?=:)/,
      (_, field: string) => flags[field] ?? `--${field.replaceAll('_', '-')}`,
    ),
  )
}

/** @throws ConfigError when a flag that holds a list is there twice: only the last would count */
export function refuseTwice(rawArgs: readonly string[], flags: readonly string[]): void {
  for (const flag of flags) {
    if (rawArgs.filter((word) => word === flag || word.startsWith(`${flag}=`)).length > 1)
      throw new ConfigError(`${flag}: is there twice; write one list instead, as in ${flag} A,B`)
  }
}

/** @throws ConfigError when it is no id of a token */
export const tokenIdFlag = (text: string): string => parseFlags(v.object({ ID: tokenId }), { ID: text }).ID

/** A public key, normalized. @throws ConfigError when it is none */
export function keyFlag(text: string): string {
  const key = normalizeKey(text)
  if (key === null) throw new ConfigError('KEY: must be a secp256k1 public key, 33 or 65 bytes in hex')
  return key
}
