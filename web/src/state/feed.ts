import { computed, signal } from '@preact/signals'
import type { FeedEvent, FeedTick, FeedType } from '../../../src/wire/watch-events.js'
import { can, findAccess, role } from './access.js'
import { reached, refusedToken } from './api.js'
import { readEvents, sleep } from './event-stream.js'

// The live feed: one connection for the whole page.

/** A tick comes each second: after so long without one the connection is no more, whatever the system says, ms. */
const SILENCE_MS = 6000
/** How long it is waited before the next try, ms: doubled each time, and not by all pages at once. */
const FIRST_WAIT_MS = 300
const LONGEST_WAIT_MS = 3000

/** `off`: who looks may not read it. */
export type Connection = 'off' | 'connecting' | 'live' | 'down'
export const connection = signal<Connection>('connecting')
/** The newest tick. */
export const tick = signal<FeedTick | null>(null)
/** Grows when everything has to be asked for again: the page may have missed something. */
export const resync = signal(0)

type Listener = (event: FeedEvent) => void
const listeners = new Map<Listener, readonly FeedType[]>()
const wanted = signal<string>('tick')

const updateWanted = (): void => {
  wanted.value = [...new Set<FeedType>(['tick', ...[...listeners.values()].flat()])].sort().join(',')
}

/** Tells of every event of these types until the returned function is called. */
export function listen(types: readonly FeedType[], listener: Listener): () => void {
  listeners.set(listener, types)
  updateWanted()
  return () => {
    listeners.delete(listener)
    updateWanted()
  }
}

let lastId: string | null = null
/** Whether the feed has broken off since it was there last. */
let hasBroken = false

function take(event: FeedEvent): void {
  if (event.event === 'tick') tick.value = event.data
  if (event.event === 'reset') resync.value++
  for (const listener of listeners.keys()) listener(event)
}

/** Reads the feed until it ends. @returns whether it was there, and seconds to wait as the service says */
async function read(types: string, stop: AbortSignal): Promise<{ opened: boolean; retryAfter: number }> {
  let opened = false
  const { status, retryAfter } = await readEvents(`/api/v1/events?types=${types}`, {
    lastId,
    silenceMs: SILENCE_MS,
    stop,
    onOpen() {
      opened = true
      if (hasBroken) resync.value++
      hasBroken = false
      reached(true)
      connection.value = 'live'
    },
    onEvent({ event, id, data }) {
      if (id !== undefined) lastId = id
      // The names are those of the contract; what a newer service says besides is passed over.
      if (event === 'task' || event === 'node' || event === 'tick' || event === 'reset')
        take({ event, data: JSON.parse(data) as never })
    },
  })
  if (status === 401) refusedToken.value ??= ''
  return { opened, retryAfter }
}

/** Keeps reading, from where it was, until it is stopped. */
async function keepReading(types: string, stop: AbortSignal): Promise<void> {
  let wait = FIRST_WAIT_MS
  while (!stop.aborted) {
    const { opened, retryAfter } = await read(types, stop)
    if (stop.aborted) return
    if (opened) wait = FIRST_WAIT_MS
    connection.value = 'down'
    hasBroken = true
    if (!opened) reached(false)
    await sleep(Math.max(retryAfter * 1000, wait * (0.75 + Math.random() / 2)), stop)
    wait = Math.min(LONGEST_WAIT_MS, wait * 2)
    // After a restart it may ask for tokens, or no more.
    if (!stop.aborted) await findAccess()
  }
}

/** What the feed is read for: who reads, and which events. Null: it is not read. */
export const reading = computed<string | null>(() => (can('events') ? `${role.value ?? ''} ${wanted.value}` : null))

/** Begins to read; what it is read for may change later. @returns what ends it */
export function readFeed(): () => void {
  let stop = new AbortController()
  let queued = false
  const begin = (): void => {
    queued = false
    stop.abort()
    stop = new AbortController()
    if (reading.value === null) {
      connection.value = 'off'
      tick.value = null
      return
    }
    if (connection.value === 'off') connection.value = 'connecting'
    void keepReading(wanted.value, stop.signal)
  }
  const dispose = reading.subscribe(() => {
    if (queued) return
    // Views come and go in one turn: the feed is opened once for what is wanted after it.
    queued = true
    queueMicrotask(begin)
  })
  return () => {
    dispose()
    stop.abort()
  }
}
