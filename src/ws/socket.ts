import type { WebSocket } from 'ws'
import { closeCodes, type CloseReason } from '../wire/codes.js'
import { MAX_FRAME_MESSAGES } from '../wire/node.js'

/** With more unsent bytes than this a reader has to read on, or its socket is dropped. */
const MAX_UNSENT = 32 * 1024 * 1024
/** In every so many ms what is unsent has to become less. */
const READ_WITHIN = 5000
/** How long the other side may take to answer a close, ms. */
const CLOSE_TIMEOUT = 2000

/** Sends messages over a socket; those of one commit as one frame where the reader takes arrays. */
export interface Outgoing<M> {
  /** The reader takes arrays. */
  batch: boolean
  push(message: M): void
  flush(): void
  close(reason: CloseReason, text: string): void
}

/** @param maxFrameBytes no array frame is larger: the reader may refuse one that is */
export function createOutgoing<M>(socket: WebSocket, maxFrameBytes: number): Outgoing<M> {
  let waiting: M[] = []
  let watching: NodeJS.Timeout | undefined
  // What was just queued says nothing of the reader; that it takes nothing of it for some time does.
  const watch = (): void => {
    if (watching !== undefined) return
    const before = socket.bufferedAmount
    watching = setTimeout(() => {
      watching = undefined
      if (socket.bufferedAmount <= MAX_UNSENT) return
      if (socket.bufferedAmount >= before) socket.terminate()
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
      const texts = messages.map((message) => JSON.stringify(message))
      for (const frame of this.batch ? inFrames(texts, maxFrameBytes) : texts) socket.send(frame)
      if (socket.bufferedAmount > MAX_UNSENT) watch()
    },
    close(reason, text) {
      this.flush()
      // A close frame carries at most 123 bytes of reason.
      socket.close(closeCodes[reason].code, Buffer.from(text).subarray(0, 120).toString().replace(/\uFFFD+$/, ''))
      setTimeout(() => socket.terminate(), CLOSE_TIMEOUT).unref()
    },
  }
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
