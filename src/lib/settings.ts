import { parseTOML } from 'confbox/toml'
import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { ConfigError } from './config-error.js'

/** A key of a configuration file: what the documentation says of it. */
export interface SettingDoc {
  key: string
  default: unknown
  description: string
}

/** A setting with what the documentation says of it. */
export const described = <S extends v.GenericSchema>(schema: S, description: string) =>
  v.pipe(schema, v.description(description))

/** A duration in seconds, fractions allowed. */
export const seconds = (min: number, max: number, fallback: number, description: string) => {
  const expected = `must be a number of seconds from ${min} to ${max}`
  return described(
    v.optional(v.pipe(v.number(expected), v.minValue(min, expected), v.maxValue(max, expected)), fallback),
    description,
  )
}

/**
 * The content of a TOML file.
 * @throws ConfigError one line with the file's name and what is wrong with it
 */
export function readToml(file: string): Record<string, unknown> {
  let source: string
  try {
    source = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(`${file}: cannot be read (${firstLine(error)}); name an existing file with --config`)
  }
  try {
    return parseTOML<Record<string, unknown>>(source)
  } catch (error) {
    throw new ConfigError(`${file}: is not valid TOML (${firstLine(error)})`)
  }
}

/**
 * Settings that fit a schema, frozen.
 * @param where the file or flags they come from, for the error
 * @throws ConfigError one line that names the place, the key and what was expected
 */
export function parseSettings<S extends v.GenericSchema>(
  schema: S,
  settings: unknown,
  where: string,
): Readonly<v.InferOutput<S>> {
  const result = v.safeParse(schema, settings)
  if (result.success) return deepFreeze(result.output)
  const issue = result.issues[0]
  const key = v.getDotPath(issue) ?? 'the file'
  if (issue.type === 'strict_object') {
    const what =
      issue.expected === 'never'
        ? 'is not a known key'
        : issue.received === 'undefined'
          ? 'is missing'
          : 'must be a section'
    throw new ConfigError(`${where}: ${key} ${what}; docs/configuration.md lists every key`)
  }
  throw new ConfigError(
    `${where}: ${key} ${issue.received === 'undefined' ? `is missing; it ${issue.message}` : issue.message}`,
  )
}

/** Every key of a schema of sections, with its default and description. */
export function describeSettings(sections: Record<string, { entries: Record<string, v.GenericSchema> }>): SettingDoc[] {
  return Object.entries(sections).flatMap(([section, { entries }]) =>
    Object.entries(entries).map(([name, schema]) => ({
      key: `${section}.${name}`,
      default: 'default' in schema ? schema.default : undefined,
      description: v.getDescription(schema) ?? '',
    })),
  )
}

const firstLine = (error: unknown): string =>
  ((error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '').trim()

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const part of Object.values(value)) deepFreeze(part)
    Object.freeze(value)
  }
  return value
}
