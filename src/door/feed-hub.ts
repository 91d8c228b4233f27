import { randomBytes } from 'node:crypto'
import type { Caller } from '../core/access/caller.js'
import type { Operation } from '../core/operations.js'
import { createFeedChannel, idOf, type FeedChannel, type FeedFilter, type Numbered } from './feed-channel.js'
import type { FeedItem } from '../wire/watch-events.js'

/** The most readers at once. */
export const MAX_READERS = 100
/** So many events are kept for readers that come back. */
const MAX_KEPT = 10_000
/** So many of them are told to one that does. */
const MAX_CAUGHT_UP = 1000
/** So long the feed goes on when the last reader has gone, ms: who comes back in this time has missed nothing. */
const LINGER_MS = 60_000
/**
 * The shortest time between two tellings, ms for each reader: what happens meanwhile is told together. A write takes 40 us; one to each
 * of a hundred readers after each turn would cost a busy service a fifth of what it can do, and every 250 ms it is one part in sixty.
 */
const TELL_EVERY_MS = 2.5
/** How often it is looked whether everybody may still read, ms. */
const CHECK_EVERY_MS = 1000

export interface FeedReader {
  by: Caller
  filter: FeedFilter
  /** The id of the last event that it has; null: it is new. */
  last: string | null
  write(text: Uint8Array): void
  /** It may read no more, or the service stops. */
  end(): void
}

export interface FeedHubParts {
  send(operation: Extract<Operation, { op: 'feedClose' }>): void
  /** Whether who asked may still ask. */
  isGood(by: Caller): boolean
  now?: () => number
  linger?: number
  tellEvery?: number
}

export type FeedHub = ReturnType<typeof createFeedHub>

/**
 * The readers of the live feed. What turns have to tell is written once for all who want the same, and told together where it comes
 * fast. The newest 10,000 events are kept, so that a reader that was cut off goes on where it was: while somebody reads, and a minute
 * after the last has gone; then the core is told to make none.
 */
export function createFeedHub({
  send,
  isGood,
  now = () => performance.now(),
  linger = LINGER_MS,
  tellEvery = TELL_EVERY_MS,
}: FeedHubParts) {
  const boot = randomBytes(6).toString('hex')
  /** `unsent`: what is to be told with the next telling. */
  const channels = new Map<string, { channel: FeedChannel; readers: Set<FeedReader>; unsent: string }>()
  const readers = new Set<FeedReader>()
  /** By their numbers: the first of them is `seq + 1 - kept.length`. Ticks are not kept: the next comes within a second. */
  let kept: Numbered[] = []
  let seq = 0
  let lingering: NodeJS.Timeout | undefined
  let checks: NodeJS.Timeout | undefined
  /** The next telling; undefined: nothing is unsent. */
  let telling: NodeJS.Timeout | undefined
  let toldAt = -Infinity
  let isStopping = false

  const trim = (): void => {
    // Not at each: to move ten thousand costs more than to keep a few more.
    if (kept.length > MAX_KEPT * 1.5) kept = kept.slice(-MAX_KEPT)
  }
  /** What came after the event with this id; null: that is not known any more. */
  const missedSince = (id: string): Numbered[] | null => {
    const [, run, place] = /^([0-9a-f]{12})-(\d{1,15})$/.exec(id) ?? []
    const last = Number(place)
    if (run !== boot || last > seq) return null
    const missing = seq - last
    if (missing > Math.min(kept.length, MAX_KEPT)) return null
    return missing === 0 ? [] : kept.slice(-missing)
  }
  const close = (): void => {
    clearInterval(checks)
    checks = undefined
    // What happens from now on is not known: a reader that comes back later has to begin anew.
    kept = []
    seq++
    send({ op: 'feedClose' })
  }
  const leave = (reader: FeedReader, key: string): void => {
    if (!readers.delete(reader)) return
    const group = channels.get(key)
    group?.readers.delete(reader)
    if (group?.readers.size === 0) channels.delete(key)
    closeLater()
  }
  const closeLater = (): void => {
    if (readers.size > 0 || isStopping) return
    clearTimeout(lingering)
    lingering = setTimeout(close, linger).unref()
  }
  const tell = (): void => {
    clearTimeout(telling)
    telling = undefined
    toldAt = now()
    for (const group of channels.values()) {
      if (group.unsent === '') continue
      const bytes = Buffer.from(group.unsent)
      group.unsent = ''
      for (const reader of group.readers) reader.write(bytes)
    }
  }
  const check = (): void => {
    for (const reader of [...readers]) if (!isGood(reader.by)) reader.end()
  }

  return {
    /** Whether there is room for one more. */
    hasRoom: (): boolean => readers.size < MAX_READERS && !isStopping,

    /** The core has begun to tell. @returns what ends it */
    open(reader: FeedReader): () => void {
      clearTimeout(lingering)
      // What the others have not been told yet, this reader is told as missed, or not at all.
      if (telling !== undefined) tell()
      checks ??= setInterval(check, CHECK_EVERY_MS).unref()
      const key = JSON.stringify(reader.filter)
      let group = channels.get(key)
      if (group === undefined) {
        group = { channel: createFeedChannel(boot, reader.filter, now), readers: new Set(), unsent: '' }
        channels.set(key, group)
      }
      group.readers.add(reader)
      readers.add(reader)
      // An event of nothing but its id: a reader that is cut off before the first has a place to go on from, too.
      if (reader.last === null) reader.write(Buffer.from(`id: ${idOf(boot, seq)}\n\n`))
      else {
        const missed = missedSince(reader.last)
        const text =
          missed === null
            ? `event: reset\nid: ${idOf(boot, seq)}\ndata: {}\n\n`
            : group.channel.catchUp(missed, MAX_CAUGHT_UP)
        if (text !== '') reader.write(Buffer.from(text))
      }
      return () => leave(reader, key)
    },

    /** The core has begun to tell, and who wanted that does not read after all. */
    abandon: closeLater,

    /** What a turn has to tell. */
    deliver(items: readonly FeedItem[]): void {
      if (checks === undefined) return
      const records = items.map((item): Numbered => {
        if (item.event === 'tick') return { seq, item, text: null }
        const record = { seq: ++seq, item, text: null }
        kept.push(record)
        return record
      })
      trim()
      let isNews = false
      for (const group of channels.values()) {
        group.unsent += group.channel.tell(records)
        isNews ||= group.unsent !== ''
      }
      if (!isNews || telling !== undefined) return
      const wait = toldAt + readers.size * tellEvery - now()
      if (wait <= 0) tell()
      else telling = setTimeout(tell, wait)
    },

    size: (): number => readers.size,

    /** The service stops. */
    stop(): void {
      isStopping = true
      clearTimeout(lingering)
      clearInterval(checks)
      if (telling !== undefined) tell()
      for (const reader of [...readers]) reader.end()
    },
  }
}
