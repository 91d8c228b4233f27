import { createSharedTurns } from '../../lib/shared-turns.js'
import { readEvent, type EventPath, type ReadEvent } from './bodies.js'
import type { ChainEvent, GapEvent } from './events.js'

/** A body that was taken, and is not read yet. */
export interface Taken {
  path: EventPath
  pieces: Buffer[]
  /** The address it came from. */
  from: string
  /** Gives back what its bytes have taken of the budget. */
  release(): void
}

export interface EventQueueParts {
  /** The most bodies that wait. */
  most: number
  /** Given one event after another; the next waits until it has settled. An event that it fails at becomes a gap. */
  onEvent(event: ChainEvent): void | Promise<void>
  /** Told of each event that is lost to the owner. */
  onLost(why: string): void
  /** Told of a failure of the owner, or of a fault of ours. */
  onFailure(error: unknown): void
  /** How long the owner is left alone after it has failed at a gap, ms. */
  retryAfter: number
}

export type EventQueue = ReturnType<typeof createEventQueue>

/** Bodies in the order they came, read and given to the owner one at a time. What finds no place is a gap in its place. */
export function createEventQueue({ most, onEvent, onLost, onFailure, retryAfter }: EventQueueParts) {
  let waiting: (Taken | GapEvent)[] = []
  let bodies = 0
  let running: Promise<void> | null = null
  const closing = new AbortController()
  const inTurns = createSharedTurns()

  /** @returns what the owner must be told instead; null when it was told */
  const give = async (event: ChainEvent): Promise<GapEvent | null> => {
    try {
      await onEvent(event)
      return null
    } catch (error) {
      onFailure(error)
      if (event.is === 'gap') return event
      const why = `the service failed at it (${event.is})`
      onLost(why)
      return { is: 'gap', count: 1, why }
    }
  }
  const read = async ({ path, pieces, from, release }: Taken): Promise<ChainEvent | null> => {
    const event = await inTurns(readPieces(path, pieces, from)).finally(release)
    if (event.is !== 'unreadable') return event
    const why = `the body of ${path} ${event.problem}`
    onLost(why)
    // A submission tells nothing of the chain: whoever made it was wrong, and nothing can be looked up.
    return path === '/submit_infer_task' ? null : { is: 'gap', count: 1, why }
  }
  const run = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined && !closing.signal.aborted; next = waiting.shift()) {
      if (!('is' in next)) bodies--
      const event = 'is' in next ? next : await read(next)
      if (event === null || closing.signal.aborted) continue
      const gap = await give(event)
      if (gap === null) continue
      // It is told again before everything else: later events would make the owner believe that it knows what was before them.
      waiting.unshift(gap)
      if (event.is === 'gap') await pause(retryAfter, closing.signal)
    }
  }
  const start = (): void => {
    if (running !== null || closing.signal.aborted) return
    running = run()
      .catch((error: unknown) => {
        onFailure(error)
        lose('the service failed to read it')
      })
      .finally(() => {
        running = null
        if (waiting.length > 0) start()
      })
  }
  const lose = (why: string): void => {
    onLost(why)
    const last = waiting.at(-1)
    if (last !== undefined && 'is' in last) last.count++
    else waiting.push({ is: 'gap', count: 1, why })
    start()
  }

  return {
    /** Puts a gap where an event would be. Gaps that follow each other are one. @param why of what was lost */
    lose,
    /** @returns whether there was a place */
    add(body: Taken): boolean {
      if (bodies >= most || closing.signal.aborted) return false
      bodies++
      waiting.push(body)
      start()
      return true
    },
    waiting: (): number => bodies,
    /** Drops what waits, and resolves when the owner is at nothing more. */
    async close(): Promise<void> {
      closing.abort()
      for (const one of waiting) if (!('is' in one)) one.release()
      waiting = []
      await running
    },
  }
}

/** How many bytes are put together between two turns: the pages of a new large buffer cost more than the copying. */
const STEP_BYTES = 1024 * 1024

function* readPieces(path: EventPath, pieces: Buffer[], from: string): Generator<void, ReadEvent> {
  const body = Buffer.allocUnsafe(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let end = 0
  for (const [i, piece] of pieces.entries()) {
    const before = end
    end += piece.copy(body, end)
    pieces[i] = NOTHING
    if (Math.floor(before / STEP_BYTES) !== Math.floor(end / STEP_BYTES)) yield
  }
  return yield* readEvent(path, body, from)
}
const NOTHING = Buffer.alloc(0)

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
  })
