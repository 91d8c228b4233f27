import type { Logger } from '../lib/log.js'
import { sleep } from '../lib/timer.js'
import { openReplica } from '../store/replica.js'
import { giveBack } from './claim.js'
import { JournalUnreachable, type Journal } from './port.js'

/** How often the others are told, and it is looked whether one has taken over, ms. */
const SAY_MS = 100
/** How often it is looked whether the log still has everything, ms. */
const CONFIRM_MS = 1000

/**
 * Waits until another has taken over. Until then nobody but this coordinator may have what the log loses, and it gives that back: one that
 * takes over has to have read everything.
 * @throws StoreError when the file cannot be opened; Diverged and the like when it is no part of the journal any more
 */
export async function untilTakenOver({
  file,
  journal,
  logger,
  within,
  say,
  isOver,
}: {
  file: string
  journal: Pick<Journal, 'last' | 'slice' | 'append'>
  logger: Pick<Logger, 'error'>
  /** ms */
  within: number
  say(): void
  /** Whether another has taken over, or nobody can. */
  isOver(): boolean
}): Promise<void> {
  const replica = openReplica(file)
  try {
    let lookedAt = -Infinity
    for (const until = performance.now() + within; performance.now() < until && !isOver(); await sleep(SAY_MS)) {
      say()
      if (performance.now() - lookedAt < CONFIRM_MS) continue
      lookedAt = performance.now()
      const records = await giveBack(replica, journal).catch((error: unknown) => {
        if (!(error instanceof JournalUnreachable)) throw error
        return 0 // and looked at again
      })
      if (records > 0)
        logger.error(
          { event: 'cluster.journal_healed', records },
          `the log had lost its last ${records} records while the work was handed over, and was given them again; look after its servers`,
        )
    }
  } finally {
    replica.close()
  }
}
