import type { OutputChannel } from '../wire/node.js'
import type { Channel } from './results.js'
import { encode } from './frames.js'
import type { AttemptRef } from './task.js'

/** Text is gathered while more than this waits on the socket: a slow network gets fewer and larger pieces. */
const HIGH_WATER_BYTES = 64 * 1024
/** What cannot be gathered is dropped while more than this waits there: results go first, and memory is bounded. */
const FULL_BYTES = 1024 * 1024

export interface Output {
  push(chunk: string, kind?: OutputChannel): void
  /** Nothing more is sent. Partial output that waits is in the result anyway. */
  end(): void
}

/**
 * Sends on what an attempt has made so far. A text goes at once when none went in the `interval` ms before it; what comes within
 * that, or while the socket does not take more, is gathered into the next piece. What the model thinks and what it answers are
 * never in one piece. `seq` counts the pieces of both from 0; a piece that could not be sent leaves a gap, so that a reader knows.
 */
export function createOutput(ref: AttemptRef, channel: Channel, interval: () => number): Output {
  const waiting = { text: '', reasoning: '' }
  let kind: OutputChannel = 'text'
  let seq = 0
  let gathering: NodeJS.Timeout | undefined

  const sendLater = (): void => {
    gathering ??= setTimeout(() => {
      gathering = undefined
      if (channel.isOpen() && channel.buffered() > HIGH_WATER_BYTES) sendLater()
      else send()
    }, interval())
  }
  const send = (): void => {
    // Half of a surrogate pair waits for its other half.
    const text = waiting[kind]
    const whole = /[\ud800-\udbff]$/.test(text) ? text.slice(0, -1) : text
    if (whole === '') return
    waiting[kind] = text.slice(whole.length)
    sendLater()
    const number = seq++
    if (!channel.isOpen() || channel.buffered() > FULL_BYTES) return
    const message = encode({
      type: 'task.output',
      task_id: ref.task_id,
      attempt: ref.attempt,
      seq: number,
      delta: whole.toWellFormed(),
      ...(kind === 'text' ? {} : { channel: kind }),
    })
    if (message.bytes <= channel.maxMessageBytes()) channel.send(message)
  }
  return {
    push(chunk, of = 'text') {
      if (of !== kind) send()
      kind = of
      waiting[of] += chunk
      if (gathering !== undefined) return
      if (channel.isOpen() && channel.buffered() > HIGH_WATER_BYTES) sendLater()
      else send()
    },
    end() {
      clearTimeout(gathering)
    },
  }
}
