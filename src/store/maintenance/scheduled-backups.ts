import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import type { TimeSource } from '../../lib/clock.js'
import { Abandoned } from './aside.js'
import { checkAside } from './check-aside.js'
import { copyDatabase, removeCopy, stampOf, syncFolder } from './copy.js'
import { StoreError } from '../open.js'
import { bytesOf, type Database } from '../sqlite.js'

/** After a failure the next try is not later than this, ms. */
const RETRY_MS = 600_000
/** The longest a timer of Node waits, ms. */
const MAX_TIMER_MS = 2 ** 31 - 1
/** What must stay free on the disk beside the backup, bytes: it may be the database's own. */
const SPARE_BYTES = 64 * 1024 * 1024

export interface Backups {
  /** Begins: the first one when the newest is older than the interval. */
  start(): void
  /** When the newest was made, Unix ms; null where none is known. */
  newest(): number | null
  /** Ends; one that is being made is abandoned and leaves nothing behind. Never rejects. */
  stop(): Promise<void>
}

export interface BackupsParts {
  /** The service's own connection: only what it writes itself does not begin the copy anew. */
  db: Database
  dir: string
  /** ms */
  interval: number
  keep: number
  log: Record<'info' | 'warn', (fields: Record<string, unknown>, text: string) => void>
  time: TimeSource
}

/** The backups that a running service makes by itself: one after another, each verified; a failure is only told. */
export function createScheduledBackups({ db, dir, interval, keep, log, time }: BackupsParts): Backups {
  const stem = basename(db.name, extname(db.name))
  const pattern = new RegExp(
    `^${stem.replace(/[^\w]/g, '\\$&')}-\\d{4}-\\d\\d-\\d\\dT\\d\\d-\\d\\d-\\d\\d\\.\\d{3}Z\\.db(\\.partial)?$`,
  )
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | null = null
  const stopping = new AbortController()
  let newest: number | null = null

  /** Finished backups in the folder, oldest first; unfinished ones of a process that was killed are removed. */
  const found = (): string[] => {
    const names = readdirSync(dir).filter((name) => pattern.test(name))
    for (const name of names) if (name.endsWith('.partial')) removeCopy(join(dir, name))
    return names.filter((name) => !name.endsWith('.partial')).sort()
  }

  const refuseFullDisk = async (): Promise<void> => {
    const bytes = bytesOf(db)
    const { bavail, bsize } = await statfs(dir)
    if (bavail * bsize < bytes + SPARE_BYTES)
      throw new StoreError(
        `${dir}: a backup needs ${bytes + SPARE_BYTES} bytes and ${bavail * bsize} are free; make room, or lower backup_keep`,
      )
  }

  const make = async (): Promise<void> => {
    const began = time.monotonic()
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    found()
    await refuseFullDisk()
    const file = join(dir, `${stem}-${stampOf(time.wall())}.db`)
    const partial = `${file}.partial`
    const bytes = await copyDatabase({ db, to: partial, heed, verify: (copy) => checkAside(copy, stopping.signal) })
    renameSync(partial, file)
    newest = time.wall()
    syncFolder(dir)
    const old = found().filter((name) => join(dir, name) !== file)
    const removed = old.slice(0, Math.max(0, old.length - (keep - 1)))
    for (const name of removed) rmSync(join(dir, name))
    log.info(
      {
        event: 'backup.made',
        file,
        bytes,
        seconds: Math.round(time.monotonic() - began) / 1000,
        removed: removed.length,
      },
      'backup made',
    )
  }
  const heed = (): void => {
    if (stopping.signal.aborted) throw new Abandoned('the service stops')
  }

  const makeAndTell = async (): Promise<void> => {
    try {
      await make()
      schedule(interval)
    } catch (error) {
      if (error instanceof Abandoned) return
      log.warn(
        { event: 'backup.failed', dir, error: error instanceof Error ? error.message : String(error) },
        'no backup was made',
      )
      schedule(Math.min(interval, RETRY_MS))
    }
  }

  const schedule = (ms: number): void => {
    if (stopping.signal.aborted) return
    timer = setTimeout(
      () => {
        if (ms > MAX_TIMER_MS) schedule(ms - MAX_TIMER_MS)
        else running = makeAndTell()
      },
      Math.min(ms, MAX_TIMER_MS),
    )
  }

  /** How long until the next one is due, ms. */
  const untilDue = (): number => {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    const name = found()
      .at(-1)
      ?.slice(stem.length + 1, -'.db'.length)
    if (name === undefined) return 0
    const made = Date.parse(name.replace(/T(\d\d)-(\d\d)-/, 'T$1:$2:'))
    newest = made
    return Math.min(interval, Math.max(0, made + interval - time.wall()))
  }

  return {
    start() {
      try {
        schedule(untilDue())
      } catch {
        schedule(0) // whatever is wrong with the folder, the try says it
      }
    },
    newest: () => newest,
    async stop() {
      stopping.abort()
      clearTimeout(timer)
      await running
    },
  }
}
