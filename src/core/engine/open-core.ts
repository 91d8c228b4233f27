import type { KeyObject } from 'node:crypto'
import { openStored } from '../../chain/encrypted-submissions.js'
import { ConfigError } from '../../lib/config-error.js'
import type { DataKey } from '../../lib/data-keys.js'
import { createTextSealer } from '../../lib/sealed-text.js'
import type { TimeSource } from '../../lib/clock.js'
import { refuse } from '../../lib/result.js'
import { createScheduledBackups } from '../../store/maintenance/scheduled-backups.js'
import { openDatabase } from '../../store/open.js'
import { createStore, type Store } from '../../store/store.js'
import { createWalSync, type WalSync } from '../../store/wal-sync.js'
import { plainTexts, type TextStorage } from '../../store/task-texts.js'
import { createModelTable, type Family } from '../../rules/models.js'
import { refusalEffects } from '../operation-traits.js'
import type { CoreOptions } from '../context.js'
import { createCore } from './core.js'
import type { Operation, TurnResult } from '../operations.js'

/** What a core is opened with: plain values, so that they can go to a thread. Times in ms. */
export interface CoreSettings {
  database_path: string
  families: readonly Family[]
  options: CoreOptions
  /** The backups that the service makes by itself; null for none. */
  backups: { dir: string; interval: number; keep: number } | null
  /** The keys that texts are sealed under in the file, the one that seals first; none: they are stored as they are. */
  dataKeys: readonly DataKey[]
  /** What opens stored texts that came encrypted for the signer; null without a signer. */
  wrappingKey: KeyObject | null
  /** Whether what happens to every single task is logged. */
  debug: boolean
  /** Of the ownership of a journal that every turn is told to; null: there is none. */
  epoch: number | null
}

/** Where what is no event of a turn is logged. */
export interface CoreLog {
  info(fields: LogFields, text: string): void
  warn(fields: LogFields, text: string): void
}
export type LogFields = Record<string, unknown>

/**
 * Before the commit of a turn; after it; when it is durable, before any answer; after the answers were written to their sockets. Between
 * the second and the third other turns may be.
 */
export type CommitPoint = 'before commit' | 'after commit' | 'after sync' | 'after reply'

export interface OpenedCore {
  /**
   * Runs a turn, and gives its result back when all that it may tell of is durable, at once or later; in the order of the calls. A fault of
   * the core itself refuses the turn.
   */
  turn(operations: readonly Operation[], then: (result: TurnResult) => void): void
  startBackups(): void
  /**
   * The records up to `n` are in the log of the journal, the last of them ends there at `seq`.
   * @param now whether it is written at once, and not with the next turn
   */
  acknowledged(n: number, seq: number, now: boolean): void
  /**
   * Closes the file.
   * @param abandoned somebody else owns the work by now: nothing more is written. Else what memory is ahead of the file by is
   */
  close(abandoned?: boolean): Promise<void>
}

export interface OpenCoreParts {
  settings: CoreSettings
  log: CoreLog
  time: TimeSource
  /** Told where a commit is: for tests that end the process just there. */
  onCommitPoint?: ((point: CommitPoint) => void) | undefined
  /** Told that what was committed cannot be made durable: nothing is answered any more, and the process has to end. */
  onFailure(error: Error): void
}

/**
 * Opens a core on its database, in the thread that calls.
 * @throws StoreError when the database cannot be opened
 * @throws ConfigError when texts in it are sealed under a data key that is not among ours
 */
export function openCore({ settings, log, time, onCommitPoint: at, onFailure }: OpenCoreParts): OpenedCore {
  const database = openDatabase(settings.database_path)
  const { adopted, unvacuumed } = database
  if (adopted !== null) log.info({ event: 'database.adopted', ...adopted }, 'database of the original service adopted')
  if (unvacuumed !== null)
    log.warn(
      { event: 'database.unvacuumed', error: unvacuumed },
      'the file keeps the room of deleted tasks to itself; the next start tries again',
    )
  const { wrappingKey } = settings
  const texts: TextStorage = {
    sealer: createTextSealer(settings.dataKeys),
    encrypted:
      wrappingKey === null
        ? plainTexts.encrypted
        : { open: (task_id, sent, keys) => openStored(wrappingKey, task_id, sent, keys) },
  }
  const opened = createStore(database.db, texts, settings.epoch)
  /** Makes turns durable, beside the thread where the disk is slow; null while SQLite does with each commit. */
  let walSync: WalSync | null = null
  /** Whether something was committed that is not durable yet. */
  let committed = false
  const store: Store = {
    ...opened,
    commit() {
      at?.('before commit')
      const result = opened.commit()
      at?.('after commit')
      if (walSync === null) at?.('after sync')
      committed = walSync !== null
      return result
    },
  }
  try {
    takeDataKeys(store, settings)
  } catch (error) {
    database.close()
    throw error
  }
  const backups =
    settings.backups === null ? null : createScheduledBackups({ db: database.db, ...settings.backups, log, time })
  const core = createCore({
    store,
    models: createModelTable(settings.families),
    options: settings.options,
    debug: settings.debug,
    time,
    backups: () =>
      backups === null || settings.backups === null
        ? null
        : { last_ms: backups.newest(), interval_ms: settings.backups.interval },
  })
  walSync = createWalSync(database.db, () => time.monotonic(), onFailure)
  let busy = false
  let closed = false

  const runTurn = (operations: readonly Operation[]): TurnResult => {
    try {
      const result = core.turn(operations)
      busy = result.busy
      return result
    } catch (error) {
      // It must not end the process, which other turns may still use.
      return refusedTurn(operations, error instanceof Error ? (error.stack ?? error.message) : String(error), busy)
    }
  }

  return {
    turn(operations, then) {
      const result = runTurn(operations)
      const toReply = (): void => {
        if (at !== undefined) afterReply(() => at('after reply'))
        then(result)
      }
      if (walSync === null) return toReply()
      const hasCommitted = committed
      committed = false
      walSync.after(hasCommitted, ({ ms, beside }) => {
        if (hasCommitted) at?.('after sync')
        result.took.commit += ms
        result.took.all += ms
        if (beside) result.beside = true
        toReply()
      })
    },
    startBackups: () => backups?.start(),
    acknowledged(n, seq, now) {
      if (closed) return
      if (now) store.journal?.acknowledgedNow(n, seq)
      else store.journal?.acknowledged(n, seq)
    },
    async close(abandoned = false) {
      closed = true
      await backups?.stop()
      await walSync?.close()
      walSync = null
      try {
        if (!abandoned) core.close()
      } finally {
        database.close()
      }
    },
  }
}

/** A service that cannot read what it has stored would only fail its tasks. */
function takeDataKeys(store: Store, { dataKeys, database_path }: CoreSettings): void {
  const [missing] = store.resealing.keysNeeded().filter((kid) => !dataKeys.some((key) => key.kid === kid))
  if (missing !== undefined)
    throw new ConfigError(
      `${database_path}: texts in it are encrypted under the data key ${missing}, and ${
        dataKeys.length === 0
          ? 'inference.data_key_file is not set; set it to the file with that key'
          : 'it is not in inference.data_key_file; put that key back there'
      }`,
    )
  store.begin()
  store.resealing.begin()
  store.commit()
}

/** What comes of a turn that failed as a whole, through a fault of ours. */
export function refusedTurn(operations: readonly Operation[], error: string, busy: boolean): TurnResult {
  return {
    outcomes: operations.map(() => refuse('internal', 'the service could not do this')),
    effects: operations.flatMap((o) =>
      refusalEffects(o, 'internal', 'the service could not do this; its operator finds the cause in the log'),
    ),
    events: [{ level: 'error', event: 'turn.failed', error }],
    wakeIn: 1000,
    busy,
    took: { all: 0, commit: 0 },
  }
}

/** What comes of a turn that may be told to nobody, or was not begun, because others own the work or the log is away. */
export const unavailableTurn = (operations: readonly Operation[], why: string): TurnResult => ({
  outcomes: operations.map(() => refuse('unavailable', why)),
  effects: operations.flatMap((o) => refusalEffects(o, 'unavailable', why)),
  events: [],
  wakeIn: 1000,
  busy: false,
  took: { all: 0, commit: 0 },
})

/** Answers leave in the turn of the event loop that has them and are written at its end, so two turns later they are out. */
const afterReply = (told: () => void): void => void setImmediate(() => setImmediate(told))
