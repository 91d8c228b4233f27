import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import { ConfigError } from '../lib/config-error.js'
import { silentLog } from '../lib/log.js'
import { newestSchema, openDatabase, StoreError } from '../store/open.js'
import { readOutbox } from '../store/outbox.js'
import { openReplica, type Replica } from '../store/replica.js'
import type { LogSettings } from './connection.js'
import { createJournal } from './journal.js'
import { lookAtLog, type LogLook } from './look.js'
import { initJournal } from './nats.js'
import { JournalUnreachable } from './port.js'
import { hearMembers, PRESENCE_MS } from './presence.js'
import { fenceRecord, readMessage, toMessages, wholeUpTo } from './records.js'
import { streamOf } from './stream.js'

/** Who is there has said so within this time, ms. */
const LISTEN_MS = PRESENCE_MS * 1.5
/** How long the servers may take to remove a stream, and to store the first message of a new one, ms. */
const REMOVE_MS = 10_000
const APPEND_MS = 10_000

export interface RebuildParts {
  settings: LogSettings
  /** The database that the new journal begins with. */
  file: string
  /** The coordinator of this file, which owns the work next. */
  coordinator: string
  url: string
  /** Whether it is done, and a journal that is there removed; else it is only said what there is, as an Error. */
  replace: boolean
  /** How much the new journal may hold on each server, bytes; undefined: as a new journal by default. */
  maxBytes: number | undefined
  /** Told before a journal is removed: what it holds. */
  removing(what: string): void
}

export interface Rebuilt {
  journal_id: string
  /** Of the fence that the new journal begins with: higher than any before, so that no former file seems to be a part of it. */
  epoch: number
}

/**
 * Makes a new journal that begins with a database, whose coordinator owns the work when it starts. No coordinator may run: it would go
 * on with the journal that was. Interrupted, it can be run again, with `replace`.
 * @throws StoreError when the file is not there, or in use; ConfigError; JournalUnreachable; Error, whose message says what is in the way
 */
export async function rebuildJournal(parts: RebuildParts): Promise<Rebuilt> {
  const { settings, file, replace, maxBytes, removing } = parts
  if (!existsSync(file))
    throw new StoreError(`${file}: there is no such database; name with --database the one that the journal is made of`)
  // Who only looks upgrades nothing.
  if (replace) openDatabase(file).close()
  // Its lock is held to the end: nobody starts on the file meanwhile.
  const replica = replace || hasRecords(file) ? openReplica(file) : null
  try {
    const look = await lookAtLog(settings, silentLog())
    try {
      await refuseNow(look)
      const { what, compared, epoch } = await former(look, replica, file)
      if (!replace || replica === null)
        throw new Error(
          `${what ?? 'the log has no journal of this cluster'}; ${compared}. To begin a new journal with ${file}${what === null ? '' : ' in the place of that one'}, run the same again with --replace`,
        )
      if (what !== null) {
        removing(`${what}; ${compared}`)
        const { streams } = await jetstreamManager(look.connection.nc, { timeout: REMOVE_MS, checkAPI: false })
        await look.connection.ask(() => streams.delete(streamOf(settings.name)))
      }
      const { id } = await initJournal(settings, maxBytes === undefined ? {} : { maxBytes })
      await begin(parts, look, replica, id, epoch + 1)
      return { journal_id: id, epoch: epoch + 1 }
    } finally {
      await look.close()
    }
  } finally {
    replica?.close()
  }
}

async function refuseNow({ report, bus }: LogLook): Promise<void> {
  if (report.lacks.length > 0) throw new ConfigError(report.lacks.join('. '))
  if (report.silent.length > 0) throw new JournalUnreachable(report.silent.join('. '))
  const members = hearMembers({ bus })
  await sleep(LISTEN_MS)
  members.stop()
  const there = members.present().map((m) => m.coordinator)
  if (there.length > 0)
    throw new Error(
      `coordinators of this cluster run (${there.sort().join(', ')}): stop all of them first, for they would go on with the journal that was`,
    )
}

/** Whether a database has ever been a part of a journal. */
function hasRecords(file: string): boolean {
  const outbox = readOutbox(file)
  outbox?.close()
  return outbox !== null
}

/** The journal that is there, in words (null: none), how the file compares with it, and the newest epoch that is known. */
async function former(
  look: LogLook,
  replica: Replica | null,
  file: string,
): Promise<{ what: string | null; compared: string; epoch: number }> {
  const { journal, unreachable } = look
  const ours = replica?.newest() ?? { n: 0, epoch: 0 }
  const end =
    ours.n === 0 ? `${file} has no records of a journal` : `${file} ends with record ${ours.n} of epoch ${ours.epoch}`
  if (unreachable !== null)
    return {
      what: `the log has a journal that gives no answer now (${unreachable})`,
      compared: end,
      epoch: ours.epoch,
    }
  if (journal === null) return { what: null, compared: end, epoch: ours.epoch }
  const last = await journal.journal.last()
  const newest = last === null ? null : readMessage(last.message)
  const theirs = newest === null ? { n: 0, epoch: 0 } : { n: wholeUpTo(newest), epoch: newest.epoch }
  const isOurs = replica?.state()?.journal_id === journal.id
  return {
    what: `the log has a journal of this cluster, ${journal.bytes} bytes, which ends with record ${theirs.n} of epoch ${theirs.epoch}`,
    compared: !isOurs
      ? `${end}, and belongs to another journal, or to none`
      : theirs.n > ours.n
        ? `${end}, so it LACKS the records behind that, which were acknowledged: the file of another coordinator may have them`
        : `${end}, and has all of it`,
    epoch: Math.max(ours.epoch, theirs.epoch),
  }
}

/** Writes the first fence of a new journal: from then on every other file is a stranger to it. */
async function begin(
  { settings, file, coordinator, url }: RebuildParts,
  { connection }: LogLook,
  replica: Replica,
  id: string,
  epoch: number,
): Promise<void> {
  const says = { owner: coordinator, url, run: randomUUID(), schema: newestSchema(), all: replica.isEmpty() }
  const fence = fenceRecord(1, epoch, says)
  const [message = Buffer.alloc(0)] = toMessages(fence)
  const journal = await createJournal(connection, settings.name, id, { timeout: APPEND_MS, behindFor: APPEND_MS })
  replica.begin({ journal_id: id, role: 'owner', owner_url: url, stored_n: 0, stored_seq: 0 })
  const seq = await journal.append(0, message)
  if (seq === null)
    throw new Error(
      `another coordinator has begun the new journal before ${file} could: stop all of them, and run the same again with --replace`,
    )
  replica.apply([{ ...fence, seq }])
}
