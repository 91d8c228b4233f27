import { silentLog } from '../lib/log.js'
import { shownAddress } from '../lib/connection-error.js'
import { ConfigError } from '../lib/config-error.js'
import { readOutbox } from '../store/outbox.js'
import type { LogSettings } from './connection.js'
import { lookAtLog } from './look.js'
import { JournalUnreachable } from './port.js'
import { noJournal } from './stream.js'
import { createVerifier, type JournalFindings } from './verify.js'

/** The log may give nothing for so long, ms: while a leader is elected it does not. */
const SILENT_MS = 30_000

/**
 * Reads the whole journal of a cluster, as it is now, and looks whether it is one, and says what this file says.
 * @param file the database that it is compared with; one that is not there, or belongs to no journal, is not
 * @throws JournalUnreachable; JournalTruncated when the owner has forgotten the beginning meanwhile; ConfigError when there is no journal
 */
export async function verifyLog(settings: LogSettings, file: string): Promise<JournalFindings> {
  const outbox = readOutbox(file)
  try {
    // Before the log is asked where it ends: what is stored later is not missed in it.
    const state = outbox?.state()
    const look = await lookAtLog(settings, silentLog())
    try {
      const { journal: found, unreachable } = look
      if (unreachable !== null) throw new JournalUnreachable(unreachable)
      if (found === null) throw new ConfigError(noJournal(settings.name, settings.nats.map(shownAddress)))
      const isOfIt = state?.journal_id === found.id
      const verifier = createVerifier({
        first: Math.max(1, found.first),
        ours: (n) => (isOfIt ? outbox?.record(n) : undefined),
      })
      if (found.last > 0) {
        const ended = new AbortController()
        const silent = setTimeout(() => ended.abort(), SILENT_MS)
        let read = 0
        for await (const message of found.journal.read(found.first, ended.signal)) {
          verifier.next(message)
          read = message.seq
          silent.refresh()
          if (read >= found.last) ended.abort()
        }
        clearTimeout(silent)
        if (read < found.last)
          throw new JournalUnreachable(
            `the log has given nothing behind message ${read} for ${SILENT_MS / 1000} s: see "stacks-signer cluster status", and try again`,
          )
      }
      const findings = verifier.end(isOfIt ? state.stored_n : null)
      if (state !== undefined && !isOfIt)
        findings.findings.unshift(
          `${file} belongs to another journal than the one in the log: its coordinator sets it aside and copies the owner's, unless the journal was made anew of it with "stacks-signer cluster rebuild"`,
        )
      return findings
    } finally {
      await look.close()
    }
  } finally {
    outbox?.close()
  }
}
