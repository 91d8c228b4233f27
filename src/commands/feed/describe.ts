import * as v from 'valibot'
import { oneLine } from '../../lib/table.js'
import { feedEvent, type FeedEvent, type FeedNode, type FeedTask, type FeedTick } from '../../wire/watch-events.js'
import { inSeconds } from '../print.js'
import type { FeedMessage } from './follow-feed.js'

/** An event of the feed in words. What a stranger has chosen is in it as it is. */
export interface Told {
  kind: FeedEvent['event']
  /** Of the task, or the node; empty: of none. */
  id: string
  status: string
  detail: string
  /** Whether something has gone otherwise than well. */
  isBad: boolean
}

/** The event that a message is; null: it is one of a newer service. */
export function readFeedEvent(message: FeedMessage): FeedEvent | null {
  const parsed = v.safeParse(feedEvent, message)
  return parsed.success ? (parsed.output satisfies FeedEvent) : null
}

export function describeEvent(event: FeedEvent): Told {
  const told = { kind: event.event, ...partsOf(event) }
  const left = event.data.skipped ?? 0
  return left === 0 ? told : { ...told, detail: listed(told.detail, `${left} before it left out`) }
}

function partsOf(event: FeedEvent): Omit<Told, 'kind'> {
  switch (event.event) {
    case 'task':
      return ofTask(event.data)
    case 'node':
      return ofNode(event.data)
    case 'tick':
      return ofTick(event.data)
    case 'reset':
      return { id: '', status: '', detail: 'what happened before is not known any more', isBad: false }
  }
}

const ofTask = ({ id, model, status, attempt, node, end, fault, ms }: FeedTask): Omit<Told, 'kind'> => ({
  id,
  status,
  detail: listed(
    model,
    attempt === 0 ? '' : `attempt ${attempt}${node === null ? '' : ` at ${node}`}`,
    end === null || end === status ? '' : `it ended as ${end}`,
    fault === null ? '' : `fault: ${fault}`,
    inSeconds(ms / 1000),
  ),
  isBad: status === 'failed' || status === 'timeout' || (end !== null && end !== 'completed'),
})

const ofNode = ({ id, status, reason }: FeedNode): Omit<Told, 'kind'> => ({
  id,
  status: status ?? 'forgotten',
  detail: reason ?? '',
  isBad: status === 'offline' || status === 'maintenance',
})

const ofTick = ({ totals: t, second }: FeedTick): Omit<Told, 'kind'> => ({
  id: '',
  status: '',
  detail: listed(
    totalsLine(t),
    `in the last second ${second.submitted} submitted, ${second.completed} completed, ${second.failed + second.timeout} failed`,
  ),
  isBad: false,
})

/** The four numbers that say how a service stands. */
export const totalsLine = (t: {
  waiting: number
  running: number
  oldest_waiting_seconds: number | null
  failed_1h: number
}): string =>
  `${t.waiting} waiting, ${t.running} running, oldest waiting ${t.oldest_waiting_seconds === null ? '-' : inSeconds(t.oldest_waiting_seconds)}, ${t.failed_1h} failed in the last hour`

/** Those of the parts that there are, with commas between. */
const listed = (...parts: string[]): string => parts.filter((part) => part !== '').join(', ')

/** The event as a line. @param at Unix ms */
export const eventLine = ({ kind, id, status, detail }: Told, at: number): string =>
  [new Date(at).toISOString(), kind, id, status, detail]
    .filter((part) => part !== '')
    .map(oneLine)
    .join('  ')
