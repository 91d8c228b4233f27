import type { UndoLog } from '../../lib/undo-log.js'
import type { OutputChannel } from '../../wire/node.js'
import type { Owner, SharedPot } from './shared-pot.js'

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
  /** What the model thought before it answered; `next` counts the pieces of both. */
  reasoning: string
  /** What it takes in memory, at most. */
  bytes: number
  /** Whose share it is of. */
  owner: Owner
}

export type StreamBuffers = ReturnType<typeof createStreamBuffers>

/**
 * The texts of attempts that are streamed. A text whose piece was lost, or that grows beyond a bound, is given up as a whole:
 * what is known of a text is always right.
 * @param maxUnits of one text, in UTF-16 units
 * @param pot bytes of all texts together
 */
export function createStreamBuffers(maxUnits: number, pot: SharedPot, undo: UndoLog) {
  const buffers = new Map<string, StreamBuffer>()

  const change = (taskId: string, buffer: StreamBuffer | undefined): void => {
    const before = buffers.get(taskId)
    if (before === buffer) return
    undo.keepEntry(buffers, taskId)
    if (before !== undefined && before.owner === buffer?.owner) pot.take(before.owner, buffer.bytes - before.bytes)
    else {
      if (before !== undefined) pot.take(before.owner, -before.bytes)
      if (buffer !== undefined) pot.take(buffer.owner, buffer.bytes)
    }
    if (buffer === undefined) buffers.delete(taskId)
    else buffers.set(taskId, buffer)
  }

  return {
    get: (taskId: string): StreamBuffer | undefined => buffers.get(taskId),
    /** How many there are. */
    size: () => buffers.size,
    /** A text begins, for the first of these that has room for it. When none has, nothing is kept of it. */
    begin(taskId: string, attempt: number, owners: Iterable<Owner>) {
      change(taskId, undefined)
      for (const owner of owners) {
        if (pot.refusal(owner, BUFFER_BYTES) !== null) continue
        return change(taskId, { attempt, next: 0, text: '', reasoning: '', bytes: BUFFER_BYTES, owner })
      }
    },

    /**
     * The piece numbered `seq` of the text that was begun for this attempt.
     * @returns the text when it has become longer; null when it has not: it had the piece, or is not known
     */
    add(taskId: string, attempt: number, seq: number, delta: string, channel: OutputChannel): StreamBuffer | null {
      const text = buffers.get(taskId)
      if (text?.attempt !== attempt || text.next === null || seq < text.next) return null
      const { owner } = text
      const bytes = text.bytes + delta.length * 2 + PIECE_BYTES
      const fits =
        text.text.length + text.reasoning.length + delta.length <= maxUnits &&
        pot.refusal(owner, bytes - text.bytes) === null
      if (seq > text.next || !fits) {
        change(taskId, { attempt, next: null, text: '', reasoning: '', bytes: BUFFER_BYTES, owner })
        return null
      }
      const longer = { ...text, next: seq + 1, bytes }
      if (channel === 'text') longer.text += delta
      else longer.reasoning += delta
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
