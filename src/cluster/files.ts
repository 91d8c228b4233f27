import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { openDatabase } from '../store/open.js'
import { readOutbox } from '../store/outbox.js'
import { openReplica, type Replica } from '../store/replica.js'

/** So many files that were set aside are kept; older ones are deleted. */
const KEPT = 2
/** So many damaged ones may lie there; they are never deleted. */
const MAX_DAMAGED = 2
const ENDS = ['-wal', '-shm', '']

/**
 * Moves a database out of the way that is of no use to the journal any more. Its content stays for who wants to look at it, until two
 * newer ones are there; one that is damaged stays until somebody deletes it.
 * @param why a word in its new name
 * @returns its new name
 */
export function setAside(file: string, why: string, at = new Date()): string {
  const to = `${file}.${why}-${at.toISOString().replaceAll(/[:.]/g, '-')}`
  for (const end of ENDS) if (existsSync(file + end)) renameSync(file + end, to + end)
  const pattern = /\.(?:diverged|outdated|other-journal)-\d{4}-\d{2}-\d{2}T[\dZ-]+$/
  const folder = dirname(file)
  const old = readdirSync(folder)
    .filter((name) => name.startsWith(`${basename(file)}.`) && pattern.test(name))
    .sort((a, b) => (stamp(a) < stamp(b) ? 1 : -1))
    .slice(KEPT)
  for (const name of old) for (const end of ENDS) rmSync(join(folder, name + end), { force: true })
  return to
}
/** The damaged databases that were set aside before, when there are so many that the disk is to be looked at; else null. */
export function tooManyDamaged(file: string): string[] | null {
  const names = readdirSync(dirname(file)).filter(
    (name) => name.startsWith(`${basename(file)}.damaged-`) && !ENDS.some((end) => end !== '' && name.endsWith(end)),
  )
  return names.length < MAX_DAMAGED ? null : names.sort()
}
const stamp = (name: string): string => name.slice(name.search(/\d{4}-\d{2}-\d{2}T/))

/** The database that a new journal begins with: the one that is there, made or brought up to date as a start of the service does. */
export function found(file: string, journalId: string): Replica {
  openDatabase(file).close()
  const replica = openReplica(file)
  replica.begin({ journal_id: journalId, role: 'follower', owner_url: '', stored_n: 0, stored_seq: 0 })
  return replica
}

/** The journal that a database belongs to; null: it belongs to none, or is not there. */
export function journalOf(file: string): string | null {
  const outbox = readOutbox(file)
  try {
    return outbox?.state()?.journal_id ?? null
  } finally {
    outbox?.close()
  }
}
