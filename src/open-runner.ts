import { wrappingKey } from './chain/text-keys.js'
import { chainOptions, coreOptions, familiesOf, type ServiceConfig } from './config.js'
import { sameThread, workerThread, type CoreRunner } from './core/engine/runner.js'
import type { CommitPoint, CoreSettings } from './core/engine/open-core.js'
import { readKeyFile } from './lib/data-keys.js'
import { systemTime, type TimeSource } from './lib/clock.js'
import type { Logger } from './lib/log.js'

export interface RunnerParts {
  settings: ServiceConfig['inference']
  signer?: ServiceConfig['signer'] | undefined
  chain?: ServiceConfig['chain']
  callbacks?: ServiceConfig['callbacks']
  log: Logger
  time?: TimeSource
  onCommitPoint?: ((point: CommitPoint) => void) | undefined
  commitPoints?: { module: string; argument: unknown } | undefined
  /** Of the ownership of a journal; none without a cluster. */
  epoch?: number | undefined
}

/** Where the core runs: the one place that decides it. */
export function openRunner({
  settings,
  signer,
  chain,
  callbacks,
  log,
  time = systemTime,
  onCommitPoint,
  commitPoints,
  epoch,
}: RunnerParts): CoreRunner {
  const core: CoreSettings = {
    database_path: settings.database_path,
    families: familiesOf(settings),
    options: coreOptions(settings, chainOptions(chain, signer), callbacks !== undefined),
    backups:
      settings.backup_dir === undefined
        ? null
        : { dir: settings.backup_dir, interval: settings.backup_interval * 1000, keep: settings.backup_keep },
    // Whether others can read the file is for the command to ask, as of all secrets.
    dataKeys: settings.data_key_file === undefined ? [] : readKeyFile(settings.data_key_file, { insecure: true }),
    wrappingKey: signer === undefined ? null : wrappingKey(signer.stacks_private_key),
    debug: log.isLevelEnabled('debug'),
    epoch: epoch ?? null,
  }
  const onFailure = (error: Error): never => {
    log.fatal(
      { event: 'core.failed', err: error },
      'the core has failed; the service ends, and its next start goes on from what is stored',
    )
    throw error
  }
  if (!settings.core_thread) return sameThread({ settings: core, log, time, onCommitPoint, onFailure })
  return workerThread({ settings: core, log, commitPoints, onFailure })
}
