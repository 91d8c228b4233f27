import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { EventPath } from './bodies.js'
import type { EventQueue } from './event-queue.js'

export interface IntakeParts {
  /** The largest body of each path, in bytes. */
  limits: Readonly<Record<EventPath, number>>
  /** Of all bodies that are received or wait. */
  bytes: number
  queue: Pick<EventQueue, 'add' | 'lose'>
  onEvent(): void
  onRepeat(): void
  /** A clock, ms. */
  now?: () => number
}

/** What a piece of a body costs in memory beside its bytes. */
const PIECE_BYTES = 256
/** A node repeats after a second. What comes again later is meant: a transaction may be dropped twice for the same reason. */
const REPEAT_MS = 60_000
const MAX_REMEMBERED = 1024

/** Takes the bodies of requests, within the limits, and puts them into the queue. What is not taken is read and forgotten. */
export function createIntake({ limits, bytes, queue, onEvent, onRepeat, now = () => performance.now() }: IntakeParts) {
  let held = 0
  /** When each digest of a path and its body came last, the oldest first. */
  const seen = new Map<string, number>()
  const isRepeat = (digest: string): boolean => {
    const before = seen.get(digest)
    seen.delete(digest)
    seen.set(digest, now())
    const [oldest] = seen.keys()
    if (seen.size > MAX_REMEMBERED && oldest !== undefined) seen.delete(oldest)
    return before !== undefined && now() - before < REPEAT_MS
  }

  return (request: IncomingMessage, path: EventPath): void => {
    const from = request.socket.remoteAddress ?? ''
    const hash = createHash('sha256').update(`${path}\n`)
    let pieces: Buffer[] = []
    let size = 0
    let taken = 0
    let problem: string | null = null
    const release = (): void => {
      held -= taken
      taken = 0
    }
    const refuse = (why: string): void => {
      problem = why
      pieces = []
      release()
    }
    request.on('data', (piece: Buffer) => {
      if (problem !== null) return
      size += piece.length
      const cost = piece.length + PIECE_BYTES
      if (size > limits[path]) return refuse(`the body of ${path} is larger than ${limits[path]} bytes`)
      if (held + cost > bytes) return refuse(`more than ${bytes} bytes of events wait`)
      held += cost
      taken += cost
      hash.update(piece)
      pieces.push(piece)
    })
    // A request that breaks off is not answered: the node repeats it.
    request.once('close', () => {
      if (!request.complete) release()
    })
    request.once('end', () => {
      if (!request.complete) return
      onEvent()
      if (problem !== null) return queue.lose(problem)
      if (isRepeat(hash.digest('base64'))) {
        onRepeat()
        return release()
      }
      if (queue.add({ path, pieces, from, release })) return
      release()
      queue.lose('too many events wait')
    })
  }
}
