import type { WebSocket } from 'ws'
import { closeCodes, type CloseReason } from '../wire/codes.js'
import { MAX_FRAME_MESSAGES } from '../wire/node.js'

/** Unsent bytes a reader may leave behind before its socket is dropped. */
const MAX_UNSENT = 64 * 1024 * 1024
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

export function createOutgoing<M>(socket: WebSocket): Outgoing<M> {
  let waiting: M[] = []
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
      if (this.batch && messages.length > 1) {
        for (let i = 0; i < messages.length; i += MAX_FRAME_MESSAGES) socket.send(JSON.stringify(messages.slice(i, i + MAX_FRAME_MESSAGES)))
      } else for (const message of messages) socket.send(JSON.stringify(message))
      if (socket.bufferedAmount > MAX_UNSENT) socket.terminate()
    },
    close(reason, text) {
      this.flush()
      // A close frame carries at most 123 bytes of reason.
      socket.close(closeCodes[reason].code, Buffer.from(text).subarray(0, 120).toString().replace(/\uFFFD+$/, ''))
      setTimeout(() => socket.terminate(), CLOSE_TIMEOUT).unref()
    },
  }
}
