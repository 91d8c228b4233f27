import type { UndoLog } from '../../lib/undo-log.js'

/** What a piece takes beside its text, in bytes: a short one costs memory too. */
const PIECE_BYTES = 64
/** What a buffer takes beside its pieces. */
const BUFFER_BYTES = 512

/** The text of one attempt as far as it is known, from its beginning. Values: a piece makes a new one. */
export interface StreamBuffer {
  attempt: number
  /** The number of the piece that comes next; null when a piece is missing: nothing can be added any more. */
  next: number | null
  text: string
  /** What it takes in memory, at most. */
  bytes: number
}

export type StreamBuffers = ReturnType<typeof createStreamBuffers>

/**
 * The texts of attempts that are streamed. A text whose piece was lost, or that grows beyond a bound, is given up as a whole:
 * what is known of a text is always right.
 * @param maxUnits of one text, in UTF-16 units
 * @param maxBytes of all texts together
 */
export function createStreamBuffers(maxUnits: number, maxBytes: number, undo: UndoLog) {
  const buffers = new Map<string, StreamBuffer>()
  /** Bytes that all of them take, at most. */
  const sums = { total: 0 }

  const change = (taskId: string, buffer: StreamBuffer | undefined): void => {
    const before = buffers.get(taskId)
    if (before === buffer) return
    undo.keep(sums)
    undo.keepEntry(buffers, taskId)
    sums.total += (buffer?.bytes ?? 0) - (before?.bytes ?? 0)
    if (buffer === undefined) buffers.delete(taskId)
    else buffers.set(taskId, buffer)
  }

  return {
    get: (taskId: string): StreamBuffer | undefined => buffers.get(taskId),
    /** How many there are. */
    size: () => buffers.size,
    /** Bytes that all texts take, at most. */
    total: () => sums.total,

    /** A text begins. When there is no room for it, nothing is kept of it. */
    begin(taskId: string, attempt: number) {
      change(
        taskId,
        sums.total + BUFFER_BYTES > maxBytes ? undefined : { attempt, next: 0, text: '', bytes: BUFFER_BYTES },
      )
    },

    /**
     * The piece numbered `seq` of the text that was begun for this attempt.
     * @returns the text when it has become longer; null when it has not: it had the piece, or is not known
     */
    add(taskId: string, attempt: number, seq: number, delta: string): StreamBuffer | null {
      const text = buffers.get(taskId)
      if (text?.attempt !== attempt || text.next === null || seq < text.next) return null
      const bytes = text.bytes + delta.length * 2 + PIECE_BYTES
      const fits = text.text.length + delta.length <= maxUnits && sums.total + bytes - text.bytes <= maxBytes
      if (seq > text.next || !fits) {
        change(taskId, { attempt, next: null, text: '', bytes: BUFFER_BYTES })
        return null
      }
      const longer = { attempt, next: seq + 1, text: text.text + delta, bytes }
      change(taskId, longer)
      return delta === '' ? null : longer
    },

    /** The attempt is over. */
    end(taskId: string) {
      change(taskId, undefined)
    },
  }
}

/** The text from `offset` (UTF-16 units) on, and where that is: half of a surrogate pair is never sent alone. Null when there is none. */
export function textFrom(text: string, offset: number): { offset: number; delta: string } | null {
  if (offset >= text.length) return null
  const unit = text.charCodeAt(offset)
  const at = offset > 0 && unit >= 0xdc00 && unit <= 0xdfff ? offset - 1 : offset
  return { offset: at, delta: text.slice(at) }
}
