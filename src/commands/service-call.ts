import type { ArgsDef } from 'citty'
import type * as v from 'valibot'
import { ConfigError } from '../lib/config-error.js'
import { createRestClient, type RestClient } from '../lib/rest-client.js'
import { splitUrls } from '../lib/turns.js'
import { fit } from '../wire/fields.js'
import { readToken } from './token.js'

/** Where a coordinator listens unless it is told otherwise. */
const DEFAULT_URL = 'http://127.0.0.1:8080'

/** The flags of every command that asks a running service. */
export const serviceArgs = {
  url: {
    type: 'string',
    description: `The address of the service; of several that stand for each other, with commas between. Default: $STACKS_SIGNER_URL, else ${DEFAULT_URL}`,
    valueHint: 'URL',
  },
  'token-file': {
    type: 'string',
    description: 'A file with the token to show to the service. Default: $STACKS_SIGNER_TOKEN, else none',
    valueHint: 'FILE',
  },
  json: { type: 'boolean', description: 'Print what the service answers as JSON' },
} as const satisfies ArgsDef

/** The flag of every command that prints a table. */
export const wideArg = {
  wide: { type: 'boolean', description: 'Every column in full, however wide' },
} as const satisfies ArgsDef

/**
 * The addresses of the service: the flag, else the environment, else where a coordinator of this machine listens.
 * @returns at least one
 * @throws ConfigError when one is none
 */
export function serviceUrls(flag: string | undefined): string[] {
  const { STACKS_SIGNER_URL: variable = '' } = process.env
  const [source, text] =
    flag !== undefined ? ['--url', flag] : ['STACKS_SIGNER_URL', variable === '' ? DEFAULT_URL : variable]
  const urls = splitUrls(text)
  const wrong = urls.find((url) => !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
  if (wrong !== undefined)
    throw new ConfigError(`${source}: must be an address such as ${DEFAULT_URL}, not ${JSON.stringify(wrong)}`)
  return urls
}

/** Those of a command's flags that say which service is asked, and by whom. */
export interface ServiceFlags {
  url?: string | undefined
  'token-file'?: string | undefined
}

/**
 * @param timeout how long a call waits for its answer, ms
 * @throws ConfigError when the address is none, or the token
 */
export const serviceAt = (flags: ServiceFlags, timeout?: number): RestClient =>
  createRestClient(serviceUrls(flags.url), {
    token: readToken(flags['token-file']),
    ...(timeout === undefined ? {} : { timeout }),
  })

/**
 * Flags that fit the schema of the request they become.
 * @param flagOf the flags of fields whose names are not theirs
 * @throws ConfigError a sentence that names each flag that is wrong
 */
export function parseFlags<S extends v.GenericSchema>(
  schema: S,
  flags: unknown,
  flagOf: Readonly<Record<string, string>> = {},
): v.InferOutput<S> {
  const fitted = fit(schema, flags)
  if (fitted.ok) return fitted.value
  // Fields are written with _, flags with -.
  throw new ConfigError(
    fitted.problem.replace(/(?<=^|; )[a-z_]+(?=:)/g, (field) => `--${flagOf[field] ?? field.replaceAll('_', '-')}`),
  )
}

/** @throws ConfigError when there are more words than the command has use for */
export function refuseMore(words: readonly string[], expected: number): void {
  const extra = words[expected]
  if (extra !== undefined) throw new ConfigError(`unexpected ${JSON.stringify(extra)}; see --help`)
}
