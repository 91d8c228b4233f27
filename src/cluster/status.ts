import { setTimeout as sleep } from 'node:timers/promises'
import { shownAddress } from '../lib/connection-error.js'
import { silentLog } from '../lib/log.js'
import type { LogSettings } from './connection.js'
import { lookAtLog, type LookedAt } from './look.js'
import { hearMembers, PRESENCE_MS, type Presence } from './presence.js'
import { readMessage } from './records.js'
import { noJournal } from './stream.js'

/** Who is there has said so within this time, ms. */
const LISTEN_MS = PRESENCE_MS * 1.5

/** How a cluster stands, as it is shown. */
export interface ClusterStatus {
  /** Somebody owns the work, and nothing is wrong. */
  ok: boolean
  cluster: string
  /** The name of the owner; null: there is none. */
  owner: string | null
  coordinators: {
    coordinator: string
    role: Presence['role']
    url: string
    epoch: number
    /** The newest record of its file. */
    record: number
    /** How many records it is behind its owner, and for how long, ms; of the owner, how long its oldest turn waits for the log. */
    behind_records: number
    behind_ms: number
    /** It gives the work up, and waits for another to take over. */
    leaving: boolean
  }[]
  /** The servers that have answered, by name. */
  servers: string[]
  /** null: there is none, or it gives no answer. */
  journal:
    | (Omit<LookedAt, 'journal' | 'maxBytes'> & {
        max_bytes: number | null
        /** The record that the newest message is of; null in a new journal. */
        record: number | null
        epoch: number | null
      })
    | null
  /** What is wrong, as sentences. */
  problems: string[]
}

/**
 * Asks the log, and hears which coordinators are there; takes no part in the cluster.
 * @throws JournalUnreachable when none of the log's servers can be reached; ConfigError
 */
export async function clusterStatus(settings: LogSettings): Promise<ClusterStatus> {
  const look = await lookAtLog(settings, silentLog())
  try {
    const members = hearMembers({ bus: look.bus })
    const [last] = await Promise.all([lastOf(look.journal), sleep(LISTEN_MS)])
    members.stop()
    const present = members.present().sort((a, b) => (a.coordinator < b.coordinator ? -1 : 1))
    const owner = present.filter((m) => m.role === 'owner').sort((a, b) => b.epoch - a.epoch)[0] ?? null
    const problems = [...look.lacks, ...look.report.silent]
    if (look.unreachable !== null) problems.push(look.unreachable)
    else if (look.journal === null) problems.push(noJournal(settings.name, settings.nats.map(shownAddress)))
    if (typeof last === 'string') problems.push(last)
    if (owner === null)
      problems.push(
        present.length === 0
          ? 'no coordinator is there: start one with "stacks-signer run-inference-service"'
          : 'no coordinator owns the work: see in the logs of those that are there why not',
      )
    return {
      ok: problems.length === 0,
      cluster: settings.name,
      owner: owner?.coordinator ?? null,
      coordinators: present.map(({ coordinator, role, url, epoch, n, behind_ms, leaving }) => ({
        coordinator,
        role,
        url,
        epoch,
        record: n,
        behind_records: Math.max(0, (owner?.n ?? n) - n),
        behind_ms,
        leaving,
      })),
      servers: look.report.servers.map(({ name }) => name),
      journal: look.journal === null ? null : shown(look.journal, typeof last === 'string' ? null : last),
      problems,
    }
  } finally {
    await look.close()
  }
}

function shown(
  { journal: _, maxBytes, ...rest }: LookedAt,
  last: { n: number; epoch: number } | null,
): NonNullable<ClusterStatus['journal']> {
  return { ...rest, max_bytes: maxBytes, record: last?.n ?? null, epoch: last?.epoch ?? null }
}

/** The record that the newest message is of; null: there is none yet. @returns a sentence when it cannot be read */
async function lastOf(found: LookedAt | null): Promise<{ n: number; epoch: number } | string | null> {
  if (found === null) return null
  try {
    const last = await found.journal.last()
    if (last === null) return null
    const { last: n, epoch } = readMessage(last.message)
    return { n, epoch }
  } catch (error) {
    return `the newest message of the journal cannot be read: ${error instanceof Error ? error.message : String(error)}`
  }
}
