import { existsSync } from 'node:fs'
import { ConfigError } from '../lib/config-error.js'
import type { Logger } from '../lib/log.js'
import { newestSchema } from '../store/open.js'
import { openReplica, type Replica } from '../store/replica.js'
import { found, journalOf, setAside } from './files.js'
import { JournalTruncated, JournalUnreachable, type Journal } from './port.js'
import { readFence, readMessage } from './records.js'

/**
 * The file of this coordinator as a copy that can follow the journal: the one that is there, when it belongs to it; else a copy of the
 * owner's. The first coordinator of a new journal begins it with its own file.
 * @throws ConfigError when the file holds the work of a service that is not of this cluster; JournalUnreachable
 */
export async function join({
  file,
  journal,
  logger,
  fetchSeed,
}: {
  file: string
  journal: Pick<Journal, 'id' | 'last' | 'slice'>
  logger: Pick<Logger, 'info' | 'warn'>
  /** @returns the size of the copy, bytes */
  fetchSeed(): Promise<number>
}): Promise<Replica> {
  const isNew = (await journal.last()) === null
  if (isNew && journalOf(file) !== journal.id) return found(file, journal.id)
  if (existsSync(file)) {
    const replica = openReplica(file)
    const state = replica.state()
    if (state?.journal_id === journal.id) return replica
    const isEmpty = state === undefined && replica.isEmpty()
    replica.close()
    if (state === undefined && !isEmpty)
      throw new ConfigError(
        `${file} holds the tasks of a service that is not of this cluster, and the cluster has its own; move the file away, and start again: this coordinator then copies the owner's`,
      )
    const to = setAside(file, 'other-journal')
    logger.warn(
      { event: 'cluster.set_aside', file: to },
      `the database belongs to another journal, and was set aside as ${to}`,
    )
  }
  logger.info({ event: 'cluster.seeding' }, 'copying the database of the owner')
  let bytes = 0
  try {
    bytes = await fetchSeed()
  } catch (error) {
    // Nobody is there who has a file; the log may have everything itself.
    if (!(error instanceof JournalUnreachable) || !(await holdsAll(journal))) throw error
    logger.warn({ event: 'cluster.from_log' }, 'nobody has a copy of the database; reading all of it from the log')
    return found(file, journal.id)
  }
  const replica = openReplica(file)
  if (replica.state()?.journal_id !== journal.id) {
    replica.close()
    setAside(file, 'other-journal')
    throw new Error("the copy of the owner's database belongs to another journal")
  }
  logger.info(
    { event: 'cluster.seeded', bytes, record: replica.newest().n },
    `copied the database of the owner, ${bytes} bytes`,
  )
  return replica
}

/** Whether the journal tells everything from an empty file on, in tables that this program makes. */
async function holdsAll(journal: Pick<Journal, 'slice'>): Promise<boolean> {
  try {
    const [first] = await journal.slice(1, 1)
    if (first === undefined) return false
    const { kind, bodies } = readMessage(first.message)
    const { all, schema } = readFence({ kind, body: Buffer.concat(bodies) })
    return all && schema === newestSchema()
  } catch (error) {
    if (error instanceof JournalTruncated) return false
    throw error
  }
}
