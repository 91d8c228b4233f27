import { createPublisher, type Publisher } from './cluster/publisher.js'
import { durableRunner, type DurableRunner } from './cluster/durable-runner.js'
import type { Claimed, Owning } from './cluster/claim.js'
import type { ClusterLog } from './cluster/port.js'
import { offerSeeds } from './cluster/seed.js'
import type { Coordinator, Ownership } from './coordinator-parts.js'
import type { Logger } from './lib/log.js'
import { openOutbox } from './store/outbox.js'

/** How often it is looked whether the log still answers, ms. */
const WATCH_MS = 250
/** How often the log forgets what everybody has, ms, and how many messages stay for one who comes back. */
const TRUNCATE_MS = 60_000
const KEPT_MESSAGES = 10_000

export interface OwningParts {
  file: string
  maxWalBytes: number
  /** The log may not answer for longer than this, ms: by then others have taken over. */
  takeoverAfter: number
  log: ClusterLog
  logger: Logger
  claimed: Claimed
  /** The service on the file, which it opens. */
  create(ownership: Ownership): Coordinator
  /** Where sessions go when the work is given up; null: it is not known. */
  reconnectTo(): string | null
  /** Up to where in the log each follower that is there needs nothing any more. */
  followers(): readonly number[]
  /** How this coordinator stands in its cluster. */
  shown: Pick<Ownership['cluster'], 'report' | 'figures'>
  /** Told of records that the log had lost. */
  healed(records: number): void
}

/**
 * Owns the work of a cluster: the service on this coordinator's file, each turn of which the log has before anybody is told of it.
 * @throws what keeps the service from starting
 */
export async function startOwning({
  file,
  maxWalBytes,
  takeoverAfter,
  log: { journal, bus },
  logger,
  claimed,
  create,
  reconnectTo,
  followers,
  shown,
  healed,
}: OwningParts): Promise<Owning> {
  const outbox = openOutbox(file)
  const made: { publisher?: Publisher; durable?: DurableRunner } = {}
  const service = closingOnFault(
    () => [made.publisher?.stop(), outbox.close()],
    () =>
      create({
        epoch: claimed.epoch,
        cluster: { ...shown, behind: () => made.durable?.behind() ?? false },
        durable(core) {
          made.durable = durableRunner(
            core,
            (runner) => {
              const publisher = createPublisher({
                journal,
                outbox,
                epoch: claimed.epoch,
                stored: { n: claimed.n, seq: claimed.seq },
                acknowledged: runner.acknowledged,
                ended: (why) => void over(why, false),
                healed(records) {
                  healed(records)
                  logger.error(
                    { event: 'cluster.journal_healed', records },
                    `the log had lost its last ${records} records, and was given them again; look after its servers`,
                  )
                },
              })
              made.publisher = publisher
              return publisher
            },
            (what) => foundDamaged(what),
          )
          return made.durable
        },
      }),
  )
  const seeds = offerSeeds({
    bus,
    file,
    maxWalBytes,
    at: () => made.publisher?.stored().seq ?? claimed.seq,
    log: logger,
  })

  let resolveEnded: (how: Awaited<Owning['ended']>) => void
  const ended = new Promise<Awaited<Owning['ended']>>((resolve) => (resolveEnded = resolve))
  let ending = false
  let abandoned = false
  let damaged = false
  /** Ends the service. @param inOrder everything is stored and told first; else others own the work already, or the log is away */
  const over = async (why: string, inOrder: boolean): Promise<void> => {
    // Also of one that ends in order already: what it waits for does not come any more.
    if (!inOrder) {
      abandoned = true
      made.durable?.abandon(why)
    }
    if (ending) return
    ending = true
    clearInterval(truncating)
    // What has not opened its port yet would open it afterwards.
    await started.catch(() => undefined)
    const to = reconnectTo()
    await service.stop(AbortSignal.abort(), to === null ? {} : { reconnectTo: to }).catch((error: unknown) => {
      logger.error({ event: 'cluster.stop_failed', err: error }, 'the service did not end in order')
    })
    clearInterval(watching)
    await seeds.stop()
    const { publisher } = made
    const isWhole = !abandoned && publisher !== undefined && publisher.stored().n >= outbox.newest().n
    outbox.close()
    resolveEnded({ handOver: isWhole, why, damaged })
  }
  const foundDamaged = (what: string): void => {
    damaged = true
    void over(`its database is damaged: ${what}`, false)
  }
  const watching = setInterval(() => {
    if ((made.publisher?.waited() ?? 0) > takeoverAfter)
      void over(`the log has stored nothing for ${takeoverAfter / 1000} s`, false)
  }, WATCH_MS)
  const truncating = setInterval(() => {
    const needed = followers()
    const below = Math.min(...needed, seeds.needed() ?? Infinity, made.publisher?.stored().seq ?? 0) - KEPT_MESSAGES
    if (needed.length > 0 && below > 1)
      journal.truncate(below).catch((error: unknown) => {
        logger.warn(
          { event: 'cluster.truncate_failed', error: String(error) },
          'the log did not forget old records; it tries again',
        )
      })
  }, TRUNCATE_MS)

  const started = service.listen()
  try {
    await started
  } catch (error) {
    await over('the service did not start', false)
    throw error
  }
  return {
    ended,
    end: () => void over('it leaves', true),
    at: () => ({
      n: made.publisher?.newest() ?? claimed.n,
      seq: made.publisher?.stored().seq ?? claimed.seq,
      waited: made.publisher?.waited() ?? 0,
    }),
  }
}

/** What was begun for something that is not made after all is ended. */
function closingOnFault<T>(end: () => unknown, make: () => T): T {
  try {
    return make()
  } catch (error) {
    end()
    throw error
  }
}
