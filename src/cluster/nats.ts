import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import { ConfigError } from '../lib/config-error.js'
import { shownAddress } from '../lib/connection-error.js'
import { silentLog, type Logger } from '../lib/log.js'
import { createBus } from './bus.js'
import { connectServers, type LogConnection, type LogSettings } from './connection.js'
import { createJournal, READ_TIMEOUT_MS, type JournalOptions } from './journal.js'
import { checkLog, isMajority, type LogReport } from './log-check.js'
import { JournalUnreachable, type ClusterLog } from './port.js'
import { createStream, journalIdOf, lacksOfStream, MAX_JOURNAL_BYTES, noJournal, readInfo } from './stream.js'

/** How often a new journal is asked for until it answers, and the pause between, ms. */
const INIT_TRIES = 6
const INIT_PAUSE_MS = 250

/** How long the servers may take to make a stream, ms. */
const CREATE_TIMEOUT_MS = 10_000

const DEFAULTS: JournalOptions = { timeout: 5000, behindFor: 15_000 }

/**
 * Connects to the log of a cluster, after it was seen that the log keeps what it acknowledges: more than half of its servers must say so,
 * and none of them otherwise, for one machine may be down just then.
 * @param options only tests give others
 * @throws ConfigError when the log lacks something, or has no journal of this cluster; JournalUnreachable when too few servers answer
 */
export async function connectLog(
  settings: LogSettings,
  log: Logger,
  options: Partial<JournalOptions> = {},
): Promise<ClusterLog> {
  const report = await checkLog(settings.monitor)
  if (report.lacks.length > 0) throw new ConfigError(report.lacks.join('. '))
  if (!isMajority(report)) throw new JournalUnreachable(report.silent.join('. '))
  const connection = await connectServers(settings, log)
  try {
    const all = { ...DEFAULTS, ...options }
    const id = await openJournal(connection, settings, report)
    if (id === null) throw new ConfigError(noJournal(settings.name, settings.nats.map(shownAddress)))
    return {
      journal: await createJournal(connection, settings.name, id, all),
      bus: createBus(connection, settings.name, log),
      connected: connection.connected,
      connectedSince: connection.connectedSince,
      movedAt: connection.movedAt,
      close: connection.close,
    }
  } catch (error) {
    await connection.close()
    throw error
  }
}

/**
 * Makes the journal of a cluster, once; where there is one already, it stays as it is. Every server of the log must answer, and lack
 * nothing.
 * @param more.log says nothing unless another is given
 * @param more.maxBytes how much the journal may hold on each server; default 64 GiB
 * @returns the journal's id, and whether it was made now
 * @throws ConfigError when the log lacks something; JournalUnreachable when a server does not answer
 */
export async function initJournal(
  settings: LogSettings,
  { log = silentLog(), maxBytes = MAX_JOURNAL_BYTES }: { log?: Logger; maxBytes?: number } = {},
): Promise<{ id: string; created: boolean }> {
  const report = await checkLog(settings.monitor)
  if (report.lacks.length > 0) throw new ConfigError(report.lacks.join('. '))
  if (report.silent.length > 0) throw new JournalUnreachable(report.silent.join('. '))
  const connection = await connectServers(settings, log)
  try {
    const former = await patiently(() => openJournal(connection, settings, report))
    if (former !== null) return { id: former, created: false }
    const jsm = await jetstreamManager(connection.nc, { timeout: CREATE_TIMEOUT_MS, checkAPI: false })
    const { created } = await createStream(connection, jsm, settings.name, randomUUID(), maxBytes)
    const id = await patiently(async () => {
      const made = await openJournal(connection, settings, report)
      if (made === null) throw new JournalUnreachable('the log has made the journal, and does not show it: try again')
      return made
    })
    return { id, created }
  } finally {
    await connection.close()
  }
}

/** Asks again for a while: a journal that was made a moment ago, perhaps by another, has no leader yet that answers. */
async function patiently<T>(question: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await question()
    } catch (error) {
      if (!(error instanceof JournalUnreachable) || tries === INIT_TRIES) throw error
      await sleep(INIT_PAUSE_MS)
    }
  }
}

/**
 * The id of the journal, after its stream was seen to keep what it acknowledges; null when there is none.
 * @throws ConfigError, JournalUnreachable
 */
async function openJournal(
  connection: LogConnection,
  { name }: LogSettings,
  { servers, silent }: LogReport,
): Promise<string | null> {
  const cluster = connection.nc.info?.cluster
  if (cluster !== undefined && !servers.some((server) => server.cluster === cluster))
    throw new ConfigError(
      `inference.cluster.nats leads to the log "${cluster}", and monitor to another: name the same servers in both`,
    )
  const jsm = await jetstreamManager(connection.nc, { timeout: READ_TIMEOUT_MS, checkAPI: false })
  const info = await readInfo(connection, jsm, name)
  if (info === null) return null
  const lacks = lacksOfStream(name, info, servers, silent.length)
  if (lacks.length > 0) throw new ConfigError(lacks.join('. '))
  return journalIdOf(name, info)
}
