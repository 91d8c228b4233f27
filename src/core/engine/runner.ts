import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { ConfigError } from '../../lib/config-error.js'
import { DamagedError, StoreError } from '../../store/open.js'
import type { FromThread, ToThread } from './worker-thread.js'
import { openCore, refusedTurn, type CoreLog, type CoreSettings, type OpenCoreParts } from './open-core.js'
import type { Operation, TurnResult } from '../operations.js'

/** Where a core runs. The same core, the same turns; only the way there differs. */
export interface CoreRunner {
  /** Resolves when the database is open. @throws StoreError, ConfigError */
  opened: Promise<void>
  /** How many turns may be on their way at once, where they do not wait for a sync beside the core. */
  readonly maxInFlight: number
  /** Runs a turn and gives its result back, at once or later; in the order of the calls. */
  turn(operations: readonly Operation[], then: (result: TurnResult) => void): void
  startBackups(): void
  /** See OpenedCore. */
  acknowledged(n: number, seq: number, now: boolean): void
  close(abandoned?: boolean): Promise<void>
}

/**
 * A core in the thread of the doors.
 * @throws StoreError, ConfigError when the database cannot be opened
 */
export function sameThread(parts: OpenCoreParts): CoreRunner {
  const core = openCore(parts)
  return {
    opened: Promise.resolve(),
    maxInFlight: 1,
    turn: core.turn,
    startBackups: () => core.startBackups(),
    acknowledged: core.acknowledged,
    close: core.close,
  }
}

/** What a thread could not do, as the error it is without a thread. */
const errors = { damaged: DamagedError, store: StoreError, config: ConfigError, core: Error }

export interface ThreadParts {
  settings: CoreSettings
  log: CoreLog
  /** A module whose default export makes the function that is told where a commit is; for tests. */
  commitPoints?: { module: string; argument: unknown } | undefined
  /** The thread ended by itself: nothing can be served any more. */
  onFailure(error: Error): void
}

/** A core in a thread of its own: the doors go on while it writes. */
export function workerThread({ settings, log, commitPoints, onFailure }: ThreadParts): CoreRunner {
  const thread = new Worker(new URL('./worker-thread.js', import.meta.url), { workerData: { settings, commitPoints } })
  const waiting: { operations: readonly Operation[]; then: (result: TurnResult) => void }[] = []
  let state: 'opening' | 'open' | 'closing' | 'failed' = 'opening'
  let failure = ''
  const say = (message: ToThread): void => thread.postMessage(message)

  const opened = new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => {
      if (state === 'failed') return
      const was = state
      state = 'failed'
      failure = error.message
      for (const { operations, then } of waiting.splice(0)) then(refusedTurn(operations, failure, false))
      if (was === 'opening') reject(error)
      else if (was === 'open') onFailure(error)
    }
    thread.on('message', (message: FromThread) => {
      if ('result' in message) waiting.shift()?.then(message.result)
      else if ('log' in message) log[message.log](message.fields, message.text)
      else if ('failed' in message) fail(new errors[message.of](message.failed))
      else {
        state = 'open'
        resolve()
      }
    })
    thread.on('error', fail)
    thread.on('exit', () => {
      if (state !== 'closing') fail(new Error('the thread of the core ended by itself'))
    })
  })
  opened.catch(() => undefined) // told by listen()

  return {
    opened,
    maxInFlight: 2,
    turn(operations, then) {
      if (state === 'failed') return then(refusedTurn(operations, failure, false))
      waiting.push({ operations, then })
      say({ turn: operations })
    },
    startBackups: () => say({ startBackups: true }),
    acknowledged: (n, seq, now) => say({ acknowledged: { n, seq, now } }),
    async close(abandoned = false) {
      if (state === 'failed') return
      state = 'closing'
      const ended = once(thread, 'exit')
      say({ close: true, abandoned })
      const [code] = (await ended) as [number]
      if (code !== 0) throw new Error(failure === '' ? 'the thread of the core could not close the database' : failure)
    },
  }
}
