import { existsSync } from 'node:fs'
import { ConfigError } from '../lib/config-error.js'
import type { Logger } from '../lib/log.js'
import { openReplica, type Replica } from '../store/replica.js'
import { found, journalOf, setAside } from './files.js'
import type { Journal } from './port.js'

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
  journal: Pick<Journal, 'id' | 'last'>
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
  const bytes = await fetchSeed()
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
