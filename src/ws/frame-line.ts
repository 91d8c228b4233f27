import type { WebSocket } from 'ws'
import type { AddressKeys } from '../lib/address.js'
import { chunkMs, type TimeShares } from '../lib/time-shares.js'
import { splitFrame, splitFrameInSteps, type Frame } from '../wire/node.js'
import type { Guarded } from './guard.js'

/** Longer text is parsed in steps, in UTF-16 units: what is shorter takes a few milliseconds at most. */
const LARGE_UNITS = 256 * 1024

export interface FrameLineParts {
  socket: WebSocket
  /** Who its address counts as. */
  keys: AddressKeys
  shares: TimeShares
  guarded: Guarded
}

/**
 * What one session has to do, in its order: at once while its address has time, and in later turns of the event loop otherwise.
 * Nothing more is read of the socket until then. A class, for there are thousands of them.
 */
export class FrameLine {
  readonly #parts: FrameLineParts
  /** What has come behind a large frame that is being parsed; null while none is. */
  #behind: (() => void)[] | null = null
  /** Why nothing is read: its address has no time, or the session says so. */
  #rests = false
  #held = false

  constructor(parts: FrameLineParts) {
    this.#parts = parts
  }

  /** Does a step, after all that came before it. */
  add(step: () => void): void {
    const { keys, shares, guarded } = this.#parts
    if (this.#behind !== null) return void this.#behind.push(step)
    if (keys.length === 0) {
      shares.charge(keys, 0) // somebody else is here
      return step()
    }
    const inOrder = (): void => void (this.#behind === null ? step() : this.#behind.push(step))
    shares.run(keys, guarded(inOrder))
    this.#rest()
  }

  /** Parses a frame, for a step; what is added meanwhile is done after `take`. */
  parse(data: Buffer, take: (frame: Frame) => void): void {
    const { keys, shares, guarded } = this.#parts
    const text = data.toString()
    if (text.length <= LARGE_UNITS) return take(splitFrame(text))
    this.#behind = []
    const taken = guarded((frame: Frame): void => {
      const behind = this.#behind ?? []
      this.#behind = null
      this.#read()
      try {
        take(frame)
      } finally {
        for (const step of behind) this.add(step)
      }
    })
    const failed = guarded((error: unknown): void => {
      throw error
    })
    this.#read()
    shares.inSteps(keys, splitFrameInSteps(text)).then(taken, failed)
  }

  /** A chunk of so many bytes has come. */
  received(bytes: number): void {
    const { keys, shares } = this.#parts
    if (keys.length === 0) return
    shares.charge(keys, chunkMs(bytes))
    this.#rest()
  }

  /** From here on no more is read, or more is again. */
  hold(held: boolean): void {
    this.#held = held
    this.#read()
  }

  #rest(): void {
    const { keys, shares } = this.#parts
    if (this.#rests || shares.hasTime(keys)) return
    this.#rests = true
    this.#read()
    shares.later(keys, () => {
      this.#rests = false
      shares.charge(keys, chunkMs(0)) // many that go on at once are to be read in several turns
      this.#read()
    })
  }

  #read(): void {
    const { socket } = this.#parts
    if (this.#held || this.#rests || this.#behind !== null) socket.pause()
    else socket.resume()
  }
}
