import type { ArgsDef } from 'citty'
import { coordinatorName } from '../../cluster/coordinator-name.js'
import { loadServiceConfig, type ServiceConfig } from '../../config.js'
import { ConfigError } from '../../lib/config-error.js'

/** The flags of every command about a cluster. */
export const clusterArgs = {
  config: {
    type: 'string',
    description: 'The configuration file (TOML) of a coordinator, with its section [inference.cluster]',
    required: true,
    valueHint: './config/signer.toml',
  },
  json: { type: 'boolean', description: 'Print what was found or done as JSON' },
} as const satisfies ArgsDef

/** The flag of those that compare, or begin a journal with, a file. */
export const databaseArg = {
  database: {
    type: 'string',
    description: 'The SQLite file; beats the one that --config names',
    valueHint: './data/inference.db',
  },
} as const satisfies ArgsDef

/** The flag of those that make a journal. */
export const maxBytesArg = {
  'max-bytes': {
    type: 'string',
    description: 'How much the journal may hold on each server of the log, bytes. Default: 64 GiB',
    valueHint: '68719476736',
  },
} as const satisfies ArgsDef

/** What a coordinator's configuration says of its cluster. */
export interface ClusterConfig {
  cluster: NonNullable<ServiceConfig['inference']['cluster']>
  /** The name of the coordinator. */
  coordinator: string
  database: string
}

/** @throws ConfigError when the file is wrong, or has no cluster */
export function clusterConfig(flags: { config: string; database?: string | undefined }): ClusterConfig {
  const { inference } = loadServiceConfig(flags.config, { database: flags.database })
  const { cluster } = inference
  if (cluster === undefined)
    throw new ConfigError(`${flags.config}: has no section [inference.cluster], which names the servers of the log`)
  return { cluster, coordinator: coordinatorName(cluster), database: inference.database_path }
}

/** Smaller ones are full at once. */
const MIN_BYTES = 16 * 1024 ** 2

/** @throws ConfigError when it is no size */
export function maxBytesFlag(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const bytes = /^\d{1,15}$/.test(text) ? Number(text) : 0
  if (bytes < MIN_BYTES)
    throw new ConfigError(
      `--max-bytes: must be a number of bytes of at least ${MIN_BYTES}, not ${JSON.stringify(text)}`,
    )
  return bytes
}

/** What the log refuses for want of room says which flag makes the journal smaller. */
export async function naming<T>(made: Promise<T>): Promise<T> {
  return made.catch((error: unknown) => {
    if (error instanceof ConfigError && error.message.includes('max_file_store'))
      throw new ConfigError(`${error.message} with --max-bytes`, { cause: error })
    throw error
  })
}
