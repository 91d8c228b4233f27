import { MAX_FRAME_MESSAGES } from '../wire/messages.js'

/** A message as it goes on the wire. */
export interface Encoded {
  json: string
  /** Its size in UTF-8. */
  bytes: number
}

export function encode(message: unknown): Encoded {
  const json = JSON.stringify(message)
  return { json, bytes: Buffer.byteLength(json) }
}

export interface Frames {
  /** Adds a message to what this turn of the event loop sends. */
  push(message: Encoded): void
  /** Writes what waits, in order, in as few frames as the limits allow. */
  flush(): void
  /** Forgets what waits. */
  clear(): void
  /** Bytes that wait. */
  readonly bytes: number
}

/**
 * Gathers the messages of one turn into array frames of at most 256 messages.
 * @param limit the most bytes a frame may have; a single message over it goes alone, the sender has to see to that
 */
export function createFrames(limit: () => number, write: (frame: string) => void): Frames {
  let waiting: Encoded[] = []
  let bytes = 0
  let scheduled: NodeJS.Immediate | undefined

  const clear = (): void => {
    clearImmediate(scheduled)
    scheduled = undefined
    waiting = []
    bytes = 0
  }
  const flush = (): void => {
    const messages = waiting
    clear()
    let batch: string[] = []
    let size = 2 // the brackets
    const writeBatch = (): void => {
      const [first] = batch
      if (first !== undefined) write(batch.length === 1 ? first : `[${batch.join(',')}]`)
      batch = []
      size = 2
    }
    for (const message of messages) {
      if (batch.length === MAX_FRAME_MESSAGES || size + message.bytes + 1 > limit()) writeBatch()
      batch.push(message.json)
      size += message.bytes + 1 // the comma
    }
    writeBatch()
  }
  return {
    push(message) {
      waiting.push(message)
      bytes += message.bytes
      scheduled ??= setImmediate(flush)
    },
    flush,
    clear,
    get bytes() {
      return bytes
    },
  }
}
