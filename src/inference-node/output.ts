import type { Channel } from './results.js'
import { encode } from './frames.js'
import type { AttemptRef } from './task.js'

/** Partial output is dropped while more than this waits on the socket: results go first, and memory is bounded. */
const HIGH_WATER_BYTES = 1024 * 1024

export interface Output {
  push(chunk: string): void
  /** Nothing more is sent. Partial output that waits is in the result anyway. */
  end(): void
}

/**
 * Sends on what an attempt has made so far. The first text goes at once; what comes within `interval` ms after a piece is
 * gathered into the next. `seq` counts pieces from 0; a piece that could not be sent leaves a gap, so that a reader knows.
 */
export function createOutput(ref: AttemptRef, channel: Channel, interval: number): Output {
  let waiting = ''
  let seq = 0
  let gathering: NodeJS.Timeout | undefined

  const send = (): void => {
    gathering = undefined
    // Half of a surrogate pair waits for its other half.
    const whole = /[\ud800-\udbff]$/.test(waiting) ? waiting.slice(0, -1) : waiting
    waiting = waiting.slice(whole.length)
    if (whole === '') return
    gathering = setTimeout(send, interval)
    const number = seq++
    if (!channel.isOpen() || channel.buffered() > HIGH_WATER_BYTES) return
    const message = encode({
      type: 'task.output',
      task_id: ref.task_id,
      attempt: ref.attempt,
      seq: number,
      delta: whole.toWellFormed(),
    })
    if (message.bytes <= channel.maxMessageBytes()) channel.send(message)
  }
  return {
    push(chunk) {
      waiting += chunk
      if (gathering === undefined) send()
    },
    end() {
      clearTimeout(gathering)
    },
  }
}
