import type { WebSocket } from 'ws'
import { closeCodes, type CloseReason } from '../wire/codes.js'
import { MAX_FRAME_MESSAGES } from '../wire/node.js'

/** With more unsent bytes than this a reader has to read on, or its socket is dropped. */
const MAX_UNSENT = 32 * 1024 * 1024
/** In every so many ms what is unsent has to become less. */
const READ_WITHIN = 5000
/** How long the other side may take to answer a close, ms. */
const CLOSE_TIMEOUT = 2000
/** The same for one that has fallen behind: the close comes after all that waits for it. */
const SLOW_CLOSE_TIMEOUT = 10_000

/** Sends messages over a socket; those of one commit as one frame where the reader takes arrays. */
export interface Outgoing<M> {
  /** The reader takes arrays. */
  batch: boolean
  push(message: M): void
  flush(): void
  close(reason: CloseReason, text: string): void
}

/** How much may wait for a reader, and what becomes of one that is too slow. */
export interface ReaderLimits {
  /** With more unsent bytes than this a reader has to read on: in every READ_WITHIN it has to become less. */
  soft: number
  /** With more unsent bytes than this it is too slow at once. */
  hard: number
  tooSlow(): void
}

/** @param maxFrameBytes no array frame is larger: the reader may refuse one that is */
export function createOutgoing<M>(socket: WebSocket, maxFrameBytes: number, limits: ReaderLimits = { soft: MAX_UNSENT, hard: Infinity, tooSlow: () => socket.terminate() }): Outgoing<M> {
  let waiting: M[] = []
  let watching: NodeJS.Timeout | undefined
  // What was just queued says nothing of the reader; that it takes nothing of it for some time does.
  const watch = (): void => {
    if (watching !== undefined) return
    const before = socket.bufferedAmount
    watching = setTimeout(() => {
      watching = undefined
      if (socket.bufferedAmount <= limits.soft) return
      if (socket.bufferedAmount >= before) limits.tooSlow()
      else watch()
    }, READ_WITHIN)
    watching.unref()
  }
  return {
    batch: false,
    push(message) {
      waiting.push(message)
    },
    flush() {
      if (waiting.length === 0) return
      const messages = waiting
      waiting = []
      if (socket.readyState !== socket.OPEN) return
      for (const frame of this.batch ? framesOf(messages, maxFrameBytes) : messages.map((message) => JSON.stringify(message))) socket.send(frame)
      if (socket.bufferedAmount > limits.hard) limits.tooSlow()
      else if (socket.bufferedAmount > limits.soft) watch()
    },
    close(reason, text) {
      this.flush()
      // A close frame carries at most 123 bytes of reason.
      socket.close(closeCodes[reason].code, Buffer.from(text).subarray(0, 120).toString().replace(/\uFFFD+$/, ''))
      setTimeout(() => socket.terminate(), reason === 'tooSlow' ? SLOW_CLOSE_TIMEOUT : CLOSE_TIMEOUT).unref()
    },
  }
}

/** Messages as they go out, in as few frames as the limits allow. Mostly that is one, and nothing has to be measured. */
function framesOf(messages: readonly unknown[], maxBytes: number): Iterable<string> {
  const texts = messages.map((message) => JSON.stringify(message))
  if (texts.length === 1) return texts
  const units = texts.reduce((n, text) => n + text.length + 1, 1)
  return texts.length <= MAX_FRAME_MESSAGES && units * 3 <= maxBytes ? [`[${texts.join(',')}]`] : inFrames(texts, maxBytes)
}

/** Joins messages, in order, into as few frames as the limits allow. One message alone is no array, however large. */
function* inFrames(texts: readonly string[], maxBytes: number): Generator<string> {
  let frame: string[] = []
  let bytes = 0
  const joined = (): string => (frame.length === 1 ? (frame[0] ?? '') : `[${frame.join(',')}]`)
  for (const text of texts) {
    const size = Buffer.byteLength(text) + 1 // and its comma
    if (frame.length > 0 && (frame.length === MAX_FRAME_MESSAGES || bytes + size + 1 > maxBytes)) {
      yield joined()
      frame = []
      bytes = 0
    }
    frame.push(text)
    bytes += size
  }
  if (frame.length > 0) yield joined()
}
