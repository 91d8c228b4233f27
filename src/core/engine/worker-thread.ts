import { parentPort, workerData } from 'node:worker_threads'
import { systemTime } from '../../lib/clock.js'
import { ConfigError } from '../../lib/config-error.js'
import { isDamage } from '../../store/faults.js'
import { DamagedError, StoreError } from '../../store/open.js'
import {
  openCore,
  type CommitPoint,
  type CoreLog,
  type CoreSettings,
  type LogFields,
  type OpenedCore,
} from './open-core.js'
import type { Operation, TurnResult } from '../operations.js'

/** What the thread of a core is told. */
export type ToThread =
  | { turn: readonly Operation[] }
  | { startBackups: true }
  | { acknowledged: { n: number; seq: number; now: boolean } }
  | { close: true; abandoned: boolean }
/** What it says. A turn is answered by its result, in order. */
export type FromThread =
  | { opened: true }
  | { failed: string; of: 'damaged' | 'store' | 'config' | 'core' }
  | { result: TurnResult }
  | { log: 'info' | 'warn'; fields: LogFields; text: string }

interface ThreadData {
  settings: CoreSettings
  commitPoints?: { module: string; argument: unknown }
}

const port = parentPort
if (port === null) throw new Error('this file is the thread of a core; the coordinator starts it')
const { settings, commitPoints } = workerData as ThreadData
const say = (message: FromThread): void => port.postMessage(message)
const log: CoreLog = {
  info: (fields, text) => say({ log: 'info', fields, text }),
  warn: (fields, text) => say({ log: 'warn', fields, text }),
}

const makeOnCommitPoint = async (): Promise<((point: CommitPoint) => void) | undefined> => {
  if (commitPoints === undefined) return undefined
  const { default: make } = (await import(commitPoints.module)) as {
    default: (argument: unknown) => (point: CommitPoint) => void
  }
  return make(commitPoints.argument)
}

const kindOf = (error: unknown) => {
  if (error instanceof DamagedError || isDamage(error)) return 'damaged'
  if (error instanceof StoreError) return 'store'
  return error instanceof ConfigError ? 'config' : 'core'
}

const open = async (): Promise<OpenedCore | null> => {
  try {
    const core = openCore({
      settings,
      log,
      time: systemTime,
      onCommitPoint: await makeOnCommitPoint(),
      onFailure(error) {
        throw error // which ends this thread, and is told there
      },
    })
    say({ opened: true })
    return core
  } catch (error) {
    say({ failed: error instanceof Error ? error.message : String(error), of: kindOf(error) })
    return null
  }
}

const core = await open()
if (core !== null) {
  port.on('message', (message: ToThread) => {
    if ('turn' in message) core.turn(message.turn, (result) => say({ result }))
    else if ('startBackups' in message) core.startBackups()
    else if ('acknowledged' in message)
      core.acknowledged(message.acknowledged.n, message.acknowledged.seq, message.acknowledged.now)
    else void core.close(message.abandoned).then(() => port.close()) // a failure to close ends the thread, and says so
  })
}
