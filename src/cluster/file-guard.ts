import { existsSync } from 'node:fs'
import { ConfigError } from '../lib/config-error.js'
import type { Logger } from '../lib/log.js'
import { isDamage } from '../store/faults.js'
import { findDamage } from '../store/maintenance/intact.js'
import { DamagedError } from '../store/open.js'
import { setAside, tooManyDamaged } from './files.js'
import type { Journal } from './port.js'

/** This coordinator cannot go on by itself: somebody has to look at its disk. */
export class FileUnfit extends ConfigError {}

/**
 * Keeps a coordinator from following, and owning, with a damaged file. It is checked once, before it is opened first; what shows later is
 * told. A damaged file is set aside, never deleted, and the coordinator goes on as one without a file.
 */
export function guardFile({
  file,
  journal,
  logger,
}: {
  file: string
  journal: Pick<Journal, 'last'>
  logger: Pick<Logger, 'error'>
}) {
  let isChecked = false
  /** What is wrong with the file that is there; null: nothing is known. */
  let damage: string | null = null

  const putAside = async (what: string): Promise<void> => {
    // Of a new journal this file is all that there is.
    if ((await journal.last()) === null)
      throw new FileUnfit(
        `${file}: the database is damaged (${what}), and the journal of the cluster is new, so nobody else has its tasks: restore a backup, or move the file away to begin without them`,
      )
    const before = tooManyDamaged(file)
    if (before !== null)
      throw new FileUnfit(
        `${file}: the database is damaged again (${what}), after ${before.join(' and ')}: replace the disk of this machine, delete those files, and start again`,
      )
    const to = setAside(file, 'damaged')
    damage = null
    logger.error(
      { event: 'cluster.set_aside', file: to, error: what },
      `the database is damaged, and was set aside as ${to}; this coordinator begins with a copy of the owner's. Look after the disk of this machine. Where nobody has a copy, restore a backup, and see "stacks-signer cluster rebuild": ${what}`,
    )
  }

  return {
    /** Whether an error says that the file is damaged; then it is set aside before it is opened again. */
    isDamaged(error: unknown): boolean {
      if (!(error instanceof DamagedError) && !isDamage(error)) return false
      damage = error instanceof Error ? error.message : String(error)
      return true
    },
    /** @throws FileUnfit when somebody has to look after it; JournalUnreachable */
    async beforeOpening(): Promise<void> {
      if (!isChecked && existsSync(file)) damage ??= await findDamage(file)
      isChecked = true
      if (damage !== null && existsSync(file)) await putAside(damage)
    },
  }
}
