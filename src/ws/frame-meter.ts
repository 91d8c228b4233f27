/** The bytes of a frame's head before its payload: two, then its length where it has no room in them, then the mask. */
const FIRST_BYTES = 2
const MASK_BYTES = 4
const FINAL = 0x80
const MASKED = 0x80
const CONTROL = 0x08
const LENGTH = 0x7f
const TWO_BYTES_MORE = 126
const EIGHT_BYTES_MORE = 127

/**
 * Follows the frames in what a WebSocket has received, without keeping any of it: how large a message is going to be that is
 * not whole yet. ws tells of whole messages only. What is no valid frame is for ws to refuse.
 */
export class FrameMeter {
  /** Bytes of the message that is not whole yet, as its frames have announced them, without their heads; 0 between two messages. */
  announced = 0
  /** How often nothing was unfinished at the end of a frame. */
  ended = 0
  /** Bytes of the head of this frame that were read, where its length ends, and how many it has. */
  #head = 0
  #lengthEnd = FIRST_BYTES
  #headSize = FIRST_BYTES
  /** Bytes of the payload that have not come yet. */
  #left = 0
  #final = true
  #control = false
  #length = 0

  /** Whether a message has begun that is not whole. */
  get unfinished(): boolean {
    return this.announced > 0 || this.#head > 0 || this.#left > 0 || !this.#final
  }

  feed(chunk: Uint8Array): void {
    for (let i = 0; i < chunk.length;) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - i)
        this.#left -= taken
        i += taken
        if (this.#left === 0) this.#endFrame()
      } else this.#readHead(chunk[i++] ?? 0)
    }
  }

  #readHead(byte: number): void {
    const place = this.#head++
    if (place === 0) {
      this.#control = (byte & CONTROL) !== 0
      // A control frame may come between the frames of a message, and ends none.
      if (!this.#control) this.#final = (byte & FINAL) !== 0
    } else if (place === 1) {
      const length = byte & LENGTH
      const more = length === TWO_BYTES_MORE ? 2 : length === EIGHT_BYTES_MORE ? 8 : 0
      this.#length = more === 0 ? length : 0
      this.#lengthEnd = FIRST_BYTES + more
      this.#headSize = this.#lengthEnd + ((byte & MASKED) !== 0 ? MASK_BYTES : 0)
    } else if (place < this.#lengthEnd) this.#length = this.#length * 256 + byte
    if (this.#head === this.#headSize) this.#beginPayload()
  }

  #beginPayload(): void {
    this.#head = 0
    this.#left = this.#length
    if (!this.#control) this.announced += this.#length
    if (this.#left === 0) this.#endFrame()
  }

  #endFrame(): void {
    if (!this.#final) return
    if (!this.#control) this.announced = 0
    this.ended++
  }
}
