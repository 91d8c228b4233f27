import { randomUUID } from 'node:crypto'
import { ConfigError } from '../lib/config-error.js'
import type { Logger } from '../lib/log.js'
import { sleep } from '../lib/timer.js'
import { DamagedError } from '../store/open.js'
import { Diverged } from '../store/replay.js'
import type { Replica } from '../store/replica.js'
import { claim, type Claimed, type Owning } from './claim.js'
import { setAside } from './files.js'
import { FileUnfit, guardFile } from './file-guard.js'
import { follow } from './follower.js'
import { untilTakenOver } from './hand-over.js'
import { join } from './join.js'
import { JournalTruncated, JournalUnreachable, type ClusterLog } from './port.js'
import { createPresence, PRESENCE_MS, type Presence } from './presence.js'
import type { Fence } from './records.js'
import { createReport } from './report.js'
import { mayClaim } from './standing.js'

/** How often a follower looks whether it should take over, ms. */
const LOOK_MS = 100
/** Within this an owner is heard, ms. */
const HEAR_MS = 2 * PRESENCE_MS
/** After something has failed it begins again so much later, ms. */
const RETRY_MS = 1000
/** Who had the work and could not begin with it leaves it to the others for so many times `takeoverAfter`. */
const BARRED_TAKEOVERS = 3

export interface MemberParts {
  file: string
  coordinator: string
  url: string
  /** ms */
  takeoverAfter: number
  log: ClusterLog
  logger: Logger
  /** Starts to own the work on the file, which is closed by then. @throws what keeps it from that */
  own(claimed: Claimed): Promise<Owning>
  /** Fetches a copy of the owner's database, and puts it where there is none. @returns its size, bytes */
  fetchSeed(signal: AbortSignal): Promise<number>
  /** Told when it does not own the work any more, or not yet, before and while it follows. */
  standBy(): Promise<void>
}

export type ClusterMember = ReturnType<typeof createMember>

/**
 * A coordinator of a cluster: it follows the journal with its file, takes over when the owner is silent or leaves, owns the work until
 * somebody else does or the log is away, and follows again. What is wrong with its file is mended by a copy of the owner's.
 */
export function createMember({
  file,
  coordinator,
  url,
  takeoverAfter,
  log,
  logger,
  own,
  fetchSeed,
  standBy,
}: MemberParts) {
  const run = randomUUID()
  /** What its fences say; another one after each ownership: who reads his old fence again must not take it for one that came late. */
  let claims = randomUUID()
  const guard = guardFile({ file, journal: log.journal, logger })
  const stopping = new AbortController()
  let role: Presence['role'] = 'joining'
  let replica: Replica | null = null
  let owning: Owning | null = null
  let leaving = false
  /** Nothing is waited for any more that can be left to the others. */
  let atOnce: AbortSignal | undefined
  let lastFence: Fence | null = null
  /** When it was read, ms, monotonic; of a journal that is read from far back it says nothing. */
  let fencedAt = -Infinity
  let place = { epoch: 0, n: 0, seq: 0 }
  let levelAt = performance.now()
  /** It has the work, and cannot do it: others go first, ms, monotonic. */
  let barredUntil = -Infinity
  /** What the log said last when it could not be reached: once is enough. */
  let lastUnreachable = ''

  const look = (): typeof place => {
    if (owning !== null) {
      const { n, seq } = owning.at()
      place = { ...place, n, seq }
    } else if (replica !== null) place = { ...replica.newest(), seq: replica.state()?.stored_seq ?? 0 }
    return place
  }
  const behind = (): number => {
    if (role === 'joining') return 0
    if (owning !== null) return Math.round(owning.at().waited)
    const owner = presence.present().find((m) => m.role === 'owner')
    if (look().n >= (owner?.n ?? 0)) levelAt = performance.now()
    return Math.round(performance.now() - levelAt)
  }
  const self = (): Presence => ({ coordinator, run, url, role, ...look(), behind_ms: behind(), leaving })
  const presence: ReturnType<typeof createPresence> = createPresence({ bus: log.bus, own: self })
  const report = createReport({ own: self, presence })

  const fenced = (fence: Fence): void => {
    lastFence = fence
    fencedAt = performance.now()
    if (replica === null) return
    replica.setRole('follower', fence.url)
    logger.info(
      { event: 'cluster.owner', owner: fence.owner, url: fence.url, epoch: replica.newest().epoch },
      `${fence.owner} owns the work from here on`,
    )
  }

  const standing = () => {
    const owner = presence.owner()
    const followers = presence.followers()
    return {
      // Who has gone to another server of the log has only to hear whether an owner is there.
      connectedFor: performance.now() - Math.max(log.connectedSince(), log.movedAt() + HEAR_MS - takeoverAfter),
      // Who has just written a fence lives.
      ownerSilentFor: performance.now() - Math.max(presence.ownerHeardAt(), fencedAt),
      owner,
      n: look().n,
      rank: followers.filter((f) => f.coordinator < coordinator).length,
      isBehind: followers.some((f) => f.n > look().n),
      isFormerOwner: lastFence === null && replica?.state()?.owner_url === url,
      isFirst: replica?.newest().n === 0,
    }
  }

  /** Follows until this coordinator has the work. @returns null when it stops */
  const followUntilClaimed = async (replica: Replica): Promise<Claimed | null> => {
    const ended = new AbortController()
    const signal = AbortSignal.any([stopping.signal, ended.signal])
    let failure: Error | null = null
    const following = follow({ replica, journal: log.journal, fenced, signal }).catch((error: unknown) => {
      failure = error instanceof Error ? error : new Error(String(error))
      ended.abort()
    })
    try {
      while (!signal.aborted) {
        // A fence of ours that came late: it was not known whether it was stored.
        if (lastFence?.run === claims) return { ...replica.newest(), seq: replica.state()?.stored_seq ?? 0 }
        presence.refuseDouble()
        if (performance.now() >= barredUntil && mayClaim(standing(), takeoverAfter)) {
          ended.abort()
          await following
          const claimed = await claim({
            replica,
            journal: log.journal,
            says: { owner: coordinator, url, run: claims },
            fenced,
          })
          if (claimed !== null || stopping.signal.aborted) return claimed
          return await followUntilClaimed(replica)
        }
        await sleep(LOOK_MS)
      }
    } finally {
      ended.abort()
      await following
    }
    if (failure !== null) throw failure as Error
    return null
  }

  const ownUntilEnded = async (claimed: Claimed): Promise<void> => {
    place = claimed
    claims = randomUUID()
    logger.info(
      { event: 'cluster.owning', epoch: claimed.epoch, record: claimed.n },
      `this coordinator owns the work (epoch ${claimed.epoch})`,
    )
    barredUntil = performance.now() + BARRED_TAKEOVERS * takeoverAfter
    // The others hear it before it serves: a start may take long.
    role = 'owner'
    presence.say()
    owning = await own(claimed)
    // Stopped meanwhile.
    if (stopping.signal.aborted) owning.end()
    barredUntil = -Infinity
    const { handOver, why, damaged } = await owning.ended
    logger.warn(
      { event: 'cluster.not_owning', epoch: claimed.epoch, why },
      `this coordinator owns the work no more: ${why}`,
    )
    look()
    owning = null
    if (damaged) throw new DamagedError(why)
    if (!handOver) return
    leaving = true
    const { epoch } = place
    const isOver = (): boolean =>
      presence.followers().length === 0 || (presence.owner()?.epoch ?? 0) > epoch || atOnce?.aborted === true
    try {
      // Others go on at once when they hear it.
      await untilTakenOver({ file, journal: log.journal, logger, within: takeoverAfter, say: presence.say, isOver })
    } finally {
      leaving = false
    }
  }
  const closeReplica = (): void => {
    look()
    replica?.close()
    replica = null
  }
  /** One round: it follows, and perhaps owns. */
  const once = async (): Promise<void> => {
    role = 'joining'
    await standBy()
    await guard.beforeOpening()
    lastFence = null
    fencedAt = -Infinity
    replica = await join({ file, journal: log.journal, logger, fetchSeed: () => fetchSeed(stopping.signal) })
    replica.setRole('follower', replica.state()?.owner_url ?? '')
    role = 'follower'
    presence.say()
    const claimed = await followUntilClaimed(replica)
    if (claimed === null || stopping.signal.aborted) return
    replica.setRole('owner', url)
    closeReplica()
    await ownUntilEnded(claimed)
  }
  const failed = async (error: unknown): Promise<void> => {
    closeReplica()
    if (stopping.signal.aborted) return
    if (guard.isDamaged(error)) {
      // Its disk may be next.
      barredUntil = performance.now() + BARRED_TAKEOVERS * takeoverAfter
      return
    }
    if (error instanceof Diverged || error instanceof JournalTruncated) {
      const to = setAside(file, error instanceof Diverged ? 'diverged' : 'outdated')
      logger.warn(
        { event: 'cluster.set_aside', file: to, error: error.message },
        `the database is no part of the journal any more, and was set aside as ${to}: ${error.message}`,
      )
      return
    }
    const what = error instanceof Error ? error.message : String(error)
    const text = `this coordinator can neither follow nor own now, and tries again: ${what}`
    if (!(error instanceof JournalUnreachable)) logger.error({ event: 'cluster.failed', err: error }, text)
    else if (what !== lastUnreachable) logger.warn({ event: 'cluster.failed' }, text)
    lastUnreachable = what
    await sleep(RETRY_MS)
  }
  const loop = async (): Promise<void> => {
    let first = true
    while (!stopping.signal.aborted) {
      try {
        await once()
      } catch (error) {
        if (error instanceof FileUnfit || (first && error instanceof ConfigError)) throw error
        await failed(error)
      }
      first = false
    }
    closeReplica()
  }
  const ended = loop()

  return {
    /** Rejects when it cannot begin: a ConfigError. Resolves after `stop`. */
    ended,
    report,
    owner: () => ({ url: presence.owner()?.url ?? lastFence?.url ?? null }),
    role: () => role,
    /** Where sessions go when this coordinator gives the work up: to the first of those that follow. */
    successor: (): string | null => presence.followers()[0]?.url ?? null,
    followersAt: (): number[] => presence.followers().map((f) => f.seq),
    /** Gives the work up in order, to a follower that is there; this coordinator follows then. @returns why it cannot; null: it does */
    leave(): string | null {
      if (owning === null) return 'this coordinator does not own the work'
      if (presence.followers().length === 0) return 'no other coordinator follows: the work would have no owner'
      owning.end()
      return null
    },
    /** @param second aborted: it does not wait until another has taken over */
    async stop(second?: AbortSignal): Promise<void> {
      atOnce = second
      stopping.abort()
      owning?.end()
      await ended.catch(() => undefined)
      presence.stop()
      await log.close()
    },
  }
}
