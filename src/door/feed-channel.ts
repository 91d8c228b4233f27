import { modelKey } from '../rules/models.js'
import type { FeedItem, FeedType } from '../wire/watch-events.js'

/** What a reader wants of the feed. */
export interface FeedFilter {
  types: readonly FeedType[] | null
  /** In the form it is compared in. */
  model: string | null
  node: string | null
}

/** An item with its number in the run of the service, and its text, once somebody is told it. */
export interface Numbered {
  seq: number
  item: FeedItem
  text: string | null
}

/** So many events of tasks are told each second before some are left out. */
const MAX_TASKS_PER_SECOND = 200

const fits = ({ types, model, node }: FeedFilter, { event, data }: FeedItem): boolean => {
  if (types !== null && !types.includes(event)) return false
  if (event === 'task')
    return (model === null || modelKey(data.model) === model) && (node === null || data.node === node)
  if (event === 'node') return model === null && (node === null || data.id === node)
  return true
}
/** Whether something has gone otherwise than well: it is always told. */
const isBadEnd = ({ event, data }: FeedItem): boolean =>
  event === 'task' &&
  (data.status === 'failed' || data.status === 'timeout' || (data.end !== null && data.end !== 'completed'))

/** @param boot which run of the service it is */
export const idOf = (boot: string, seq: number): string => `${boot}-${seq}`

const written = (boot: string, { seq, item }: Numbered, skipped: number): string => {
  const data = skipped === 0 ? item.data : { ...item.data, skipped: skipped + (item.data.skipped ?? 0) }
  return `event: ${item.event}\nid: ${idOf(boot, seq)}\ndata: ${JSON.stringify(data)}\n\n`
}

const newest = <T>(list: readonly T[], most: number): readonly T[] => list.slice(Math.max(0, list.length - most))

export type FeedChannel = ReturnType<typeof createFeedChannel>

/**
 * What readers are told that want the same: chosen, sampled and written once for all of them. Over 200 events of tasks in a second only
 * one in so many is told, beside those that have gone wrong, and how many were left out with the next that is.
 * @param now ms
 */
export function createFeedChannel(boot: string, filter: FeedFilter, now: () => number) {
  let second = -1
  /** Events of tasks in this second. */
  let count = 0
  /** One in so many was told in the last one. */
  let before = 1
  let skipped = 0

  const isLeftOut = (item: FeedItem): boolean => {
    if (item.event !== 'task') return false
    const s = Math.floor(now() / 1000)
    if (s !== second) {
      before = s === second + 1 ? Math.max(1, Math.ceil(count / MAX_TASKS_PER_SECOND)) : 1
      second = s
      count = 0
    }
    const one = Math.max(before, Math.ceil(++count / MAX_TASKS_PER_SECOND))
    return one > 1 && count % one !== 0 && !isBadEnd(item)
  }
  const write = (record: Numbered): string => {
    const left = skipped
    skipped = 0
    if (left > 0) return written(boot, record, left)
    record.text ??= written(boot, record, 0)
    return record.text
  }

  return {
    /** What there is to tell of these, as one text; empty: nothing. */
    tell(records: readonly Numbered[]): string {
      let text = ''
      for (const record of records) {
        if (!fits(filter, record.item)) continue
        if (isLeftOut(record.item)) skipped++
        else text += write(record)
      }
      return text
    },
    /** The same of what a reader has missed: the newest, and how many more there were. Does not count as told. */
    catchUp(records: readonly Numbered[], most: number): string {
      const missed = records.filter(({ item }) => fits(filter, item))
      const bad = newest(
        missed.filter(({ item }) => isBadEnd(item)),
        most,
      )
      const rest = newest(
        missed.filter(({ item }) => !isBadEnd(item)),
        most - bad.length,
      )
      const told = [...bad, ...rest].sort((a, b) => a.seq - b.seq)
      const left = missed.length - told.length
      return told.map((record, i) => written(boot, record, i === 0 ? left : 0)).join('')
    },
  }
}
