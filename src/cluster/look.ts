import { jetstreamManager } from '@nats-io/jetstream'
import * as v from 'valibot'
import type { Logger } from '../lib/log.js'
import { createBus } from './bus.js'
import { connectServers, type LogConnection, type LogSettings } from './connection.js'
import { createJournal, READ_TIMEOUT_MS } from './journal.js'
import { checkLog, type LogReport } from './log-check.js'
import { JournalUnreachable, type Bus, type Journal } from './port.js'
import { journalIdOf, lacksOfStream, readInfo, streamOf } from './stream.js'

/** How long an append of a command may take, ms. */
const APPEND_MS = 5000

/** The journal of a cluster, as its log shows it. */
export interface LookedAt {
  id: string
  stream: string
  /** The first and the last message that the log keeps; both 0 in a new one. */
  first: number
  last: number
  /** On each server. */
  bytes: number
  /** How many bytes it may hold on each; null: no bound. */
  maxBytes: number | null
  /** The names of the servers that hold it; `leader` among them, null while there is none. */
  servers: string[]
  leader: string | null
  journal: Journal
}

/** A connection to the log of one who looks, and is no member of the cluster. */
export interface LogLook {
  /** What the servers say of themselves. */
  report: LogReport
  /** What is wrong with the log, the journal's stream included: a sentence each. */
  lacks: string[]
  /** null: there is none, or it gives no answer. */
  journal: LookedAt | null
  /** Why the journal gives no answer; null: it does, or there is none. */
  unreachable: string | null
  bus: Bus
  connection: LogConnection
  close(): Promise<void>
}

/**
 * Connects to the log of a cluster to look at it, whatever it lacks.
 * @throws JournalUnreachable when none of its servers can be reached; ConfigError when the stream is no journal
 */
export async function lookAtLog(settings: LogSettings, log: Logger): Promise<LogLook> {
  const report = await checkLog(settings.monitor)
  const connection = await connectServers(settings, log).catch((error: unknown) => {
    if (!(error instanceof JournalUnreachable) || report.silent.length === 0) throw error
    throw new JournalUnreachable([error.message, ...report.silent].join('. '), { cause: error })
  })
  try {
    const bus = createBus(connection, settings.name, log)
    const base = { report, bus, connection, close: connection.close }
    const jsm = await jetstreamManager(connection.nc, { timeout: READ_TIMEOUT_MS, checkAPI: false })
    let unreachable: string | null = null
    const info = await readInfo(connection, jsm, settings.name).catch((error: unknown) => {
      if (!(error instanceof JournalUnreachable)) throw error
      unreachable = error.message
      return null
    })
    if (info === null) return { ...base, lacks: report.lacks, journal: null, unreachable }
    const id = journalIdOf(settings.name, info)
    const { first_seq, last_seq, bytes } = info.state
    const { leader = null, replicas } = info.cluster
    const bound = v.safeParse(v.pipe(v.number(), v.minValue(1)), info.config['max_bytes'])
    return {
      ...base,
      unreachable,
      lacks: [...report.lacks, ...lacksOfStream(settings.name, info, report.servers, report.silent.length)],
      journal: {
        id,
        stream: streamOf(settings.name),
        first: last_seq === 0 ? 0 : first_seq,
        last: last_seq,
        bytes,
        maxBytes: bound.success ? bound.output : null,
        servers: [...new Set([...(leader === null ? [] : [leader]), ...replicas.map(({ name }) => name)])].sort(),
        leader,
        journal: await createJournal(connection, settings.name, id, { timeout: APPEND_MS, behindFor: APPEND_MS }),
      },
    }
  } catch (error) {
    await connection.close()
    throw error
  }
}
