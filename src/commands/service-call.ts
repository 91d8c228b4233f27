import type { ArgsDef } from 'citty'
import type * as v from 'valibot'
import { ConfigError } from '../lib/config-error.js'
import { createRestClient, type RestClient } from '../lib/rest-client.js'
import { fit } from '../wire/fields.js'

/** The flags of every command that asks a running service. */
export const serviceArgs = {
  url: {
    type: 'string',
    description: 'The address of the service',
    default: 'http://127.0.0.1:8080',
    valueHint: 'http://127.0.0.1:8080',
  },
  json: { type: 'boolean', description: 'Print what the service answers as JSON' },
} as const satisfies ArgsDef

/** @throws ConfigError when the address is none */
export function serviceAt(url: string): RestClient {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new ConfigError(`--url: must be an address such as http://127.0.0.1:8080, not ${JSON.stringify(url)}`)
  return createRestClient(url)
}

/**
 * Flags that fit the schema of the request they become.
 * @throws ConfigError a sentence that names each flag that is wrong
 */
export function parseFlags<S extends v.GenericSchema>(schema: S, flags: unknown): v.InferOutput<S> {
  const fitted = fit(schema, flags)
  if (fitted.ok) return fitted.value
  // Fields are written with _, flags with -.
  throw new ConfigError(fitted.problem.replace(/(?<=^|; )[a-z_]+(?=:)/g, (field) => `--${field.replaceAll('_', '-')}`))
}

/** @throws ConfigError when there are more words than the command has use for */
export function refuseMore(words: readonly string[], expected: number): void {
  const extra = words[expected]
  if (extra !== undefined) throw new ConfigError(`unexpected ${JSON.stringify(extra)}; see --help`)
}

/** Prints lines for people; on a terminal each fits its width. */
export function printLines(lines: readonly string[]): void {
  const width = process.stdout.isTTY ? process.stdout.columns : Infinity
  for (const line of lines) console.log(line.length > width ? `${line.slice(0, width - 1)}…` : line)
}

export const printJson = (data: unknown): void => console.log(JSON.stringify(data, null, 2))

/** Unix seconds as people read them; null where there is no time. */
export const timeOf = (seconds: number | null): string | null =>
  seconds === null ? null : new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z')
