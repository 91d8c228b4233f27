import { defineCommand } from 'citty'
import { statSync } from 'node:fs'
import { loadServiceConfig } from '../config.js'
import type { CoordinatorParts } from '../coordinator-parts.js'
import { createLog } from '../lib/log.js'
import { keepFilesPrivate } from '../lib/permissions.js'
import { checkSecrets, openDatabaseWarning } from './secrets.js'

export default defineCommand({
  meta: {
    name: 'run-inference-service',
    description: 'Run the coordinator: takes tasks, gives them to inference nodes, keeps the results',
  },
  args: {
    config: {
      type: 'string',
      description: 'The configuration file (TOML)',
      required: true,
      valueHint: './config/signer.toml',
    },
    database: { type: 'string', description: 'The SQLite file', valueHint: './data/inference.db' },
    'api-port': { type: 'string', description: 'The port of REST and sessions', valueHint: '8080' },
    'api-host': { type: 'string', description: 'The address to listen on', valueHint: '127.0.0.1' },
    'must-exist': { type: 'boolean', description: 'Refuse to start where there is no database yet' },
    'insecure-permissions': {
      type: 'boolean',
      description: 'Take keys from files that other users of this machine can read',
    },
    insecure: {
      type: 'boolean',
      description: 'Start without a token where others reach the service: whoever does may do everything',
    },
    'plain-http': {
      type: 'boolean',
      description: 'Listen for others without TLS: who is on the way reads tokens and prompts',
    },
    debug: { type: 'boolean', description: 'Log what happens to every single task' },
  },
  async run({ args }) {
    keepFilesPrivate()
    const config = loadServiceConfig(args.config, {
      database: args.database,
      apiPort: args['api-port'],
      apiHost: args['api-host'],
    })
    if (args['must-exist'] === true) refuseNew(config.inference.database_path)
    const warnings = checkSecrets(args.config, config, args['insecure-permissions'] === true)
    const log = createLog({ name: 'coordinator', debug: args.debug === true })
    for (const warning of warnings) log.warn({ event: 'secrets.open' }, warning)
    const isNew = isMissing(config.inference.database_path)
    // Loaded when it is known to start: what is wrong with a configuration is said at once.
    const { createCoordinator } = await import('../coordinator.js')
    const parts: CoordinatorParts = {
      settings: config.inference,
      log,
      signer: config.signer,
      chain: config.chain,
      callbacks: config.callbacks,
      openai: config.openai,
      dashboard: config.dashboard,
      metrics: config.metrics,
      insecure: args.insecure === true,
      plainHttp: args['plain-http'] === true,
    }
    // Before the service says that it listens: who waits for that may stop it at once.
    const stop = stopSignals((signal) =>
      log.info({ event: 'service.stopping', signal }, `${signal}: stopping; a second signal stops at once`),
    )
    if (config.inference.cluster !== undefined) return runInCluster(parts, config.inference.cluster, stop)
    const coordinator = createCoordinator(parts)
    try {
      await coordinator.listen()
      const open = openDatabaseWarning(config.inference.database_path)
      if (open !== null) log.warn({ event: 'database.open' }, open)
      if (isNew && process.stdout.isTTY) process.stdout.write(forOthers(args.config))
    } catch (error) {
      await coordinator.stop()
      throw error
    }
    await stop.first
    await coordinator.stop(stop.second)
  },
})

/** One of several coordinators, until the first signal to stop. */
async function runInCluster(
  parts: CoordinatorParts,
  cluster: NonNullable<CoordinatorParts['settings']['cluster']>,
  stop: StopSignals,
): Promise<void> {
  const { createClusterCoordinator } = await import('../cluster-coordinator.js')
  const { createCoordinator } = await import('../coordinator.js')
  const { settings, log } = parts
  const coordinator = createClusterCoordinator({
    settings,
    cluster,
    metrics: parts.metrics,
    logger: log,
    create: (ownership) => createCoordinator({ ...parts, ownership }),
  })
  try {
    const { host, port } = await coordinator.start()
    log.info(
      { event: 'cluster.listening', host, port },
      `a coordinator of the cluster ${cluster.name} listens on port ${port}`,
    )
    await Promise.race([stop.first, coordinator.ended])
  } finally {
    // Also of one that could not begin: the others would go on to hear of it.
    await coordinator.stop(stop.second)
  }
}

const isMissing = (database: string): boolean => !statSync(database, { throwIfNoEntry: false })?.size

/** What a first start says on a terminal. @param config its file */
const forOthers = (config: string): string => `
  To let others in (docs/security.md):
    npx stacks-signer tokens create --role admin --name me --config ${config} > admin.token
    npx stacks-signer tokens create --role user --name app --owner ADDRESS --config ${config}
    npx stacks-signer nodes invite --config ${config}

`

/** A file that is not where it was, such as on a disk that is not mounted, must not become a service without its tasks. */
function refuseNew(database: string): void {
  if (!isMissing(database)) return
  throw new Error(
    `${database}: there is no database; name the right file with --database, see whether its disk is mounted, or leave out --must-exist to make a new one`,
  )
}

/** The first signal to stop, and the second, which does not wait. */
interface StopSignals {
  first: Promise<void>
  second: AbortSignal
}
function stopSignals(told: (signal: NodeJS.Signals) => void): StopSignals {
  const second = new AbortController()
  const first = new Promise<void>((resolve) => {
    let stopping = false
    const onSignal = (signal: NodeJS.Signals): void => {
      told(signal)
      if (stopping) second.abort()
      stopping = true
      resolve()
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
  })
  return { first, second: second.signal }
}
