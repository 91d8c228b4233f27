import type { ArgsDef } from 'citty'
import { loadServiceConfig, type ServiceConfig } from '../../config.js'
import { ConfigError } from '../../lib/config-error.js'
import { keepFilesPrivate } from '../../lib/permissions.js'
import { oneLine } from '../../lib/table.js'
import { serviceArgs, serviceAt, serviceUrls, type ServiceFlags } from '../service-call.js'
import type { AccessCalls } from './access-calls.js'
import { overRest } from './over-rest.js'

/** The flags of every command about who may do what. */
export const accessArgs = {
  config: {
    type: 'string',
    description: 'Work on the database that this configuration file (TOML) names, also while its service runs',
    valueHint: './config/signer.toml',
  },
  database: {
    type: 'string',
    description: 'Work on this SQLite file; beats the one that --config names',
    valueHint: './data/inference.db',
  },
  ...serviceArgs,
} as const satisfies ArgsDef

export interface AccessFlags extends ServiceFlags {
  config?: string | undefined
  database?: string | undefined
}

/** Whether a command works on a file, and asks no service. */
export const worksOnFile = ({ config, database }: AccessFlags): boolean =>
  config !== undefined || database !== undefined

/**
 * Does something on the file that `--config` or `--database` names, or asks the service at `--url`.
 * @param how whether the file is changed: then one that is not there is made
 * @throws ConfigError when the flags contradict each other
 */
export async function withAccess<T>(
  flags: AccessFlags,
  how: 'change' | 'look',
  use: (calls: AccessCalls) => Promise<T>,
): Promise<T> {
  if (!worksOnFile(flags)) return use(overRest(serviceAt(flags), serviceUrls(flags.url).join(',')))
  const extra = flags.url !== undefined ? '--url' : flags['token-file'] !== undefined ? '--token-file' : null
  if (extra !== null)
    throw new ConfigError(`${extra}: goes without --config and --database, which work on the file and ask no service`)
  keepFilesPrivate()
  const { file, coordinator } = fileOf(flags)
  // What the store takes to load is not for those who ask a service.
  const [{ openBeside, readBeside }, { onFile }] = await Promise.all([
    import('../../store/beside.js'),
    import('./on-file.js'),
  ])
  const beside = how === 'change' ? openBeside(file) : readBeside(file)
  try {
    const result = await use(onFile(beside, coordinator))
    const warning = await beside.inLog()
    if (warning !== null) console.error(oneLine(`Warning: ${warning}`))
    return result
  } finally {
    beside.close()
  }
}

function fileOf({ config, database }: AccessFlags): { file: string; coordinator: string } {
  if (config === undefined) return { file: database ?? '', coordinator: serviceUrls(undefined).join(',') }
  const { inference } = loadServiceConfig(config, { database })
  return { file: inference.database_path, coordinator: coordinatorOf(inference) }
}

/** The address that nodes dial, as the settings let one guess it; in a cluster all of them. */
function coordinatorOf({ public_hosts, api_host, api_port, tls_cert, cluster }: ServiceConfig['inference']): string {
  const [host] = public_hosts
  if (cluster !== undefined) {
    const { public_url } = cluster
    const { protocol } = new URL(public_url)
    return host === undefined ? public_url : public_hosts.map((name) => `${protocol}//${name}`).join(',')
  }
  // A public host without TLS of ours has a proxy in front that does it.
  if (host !== undefined && (tls_cert === undefined || host.includes(':'))) return `https://${host}`
  const name = host ?? (api_host.includes(':') ? `[${api_host}]` : api_host)
  return `${tls_cert === undefined ? 'http' : 'https'}://${name}:${api_port}`
}
