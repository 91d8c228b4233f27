import { jitteredWait, RECONNECT } from '../lib/backoff.js'
import type { Emit } from './events.js'
import { encode, type Encoded } from './frames.js'
import { attemptKey, failure, type AttemptRef, type Result } from './task.js'
import { after, within } from '../lib/timer.js'
import { MAX_UNSETTLED, MAX_UNSETTLED_BYTES, type UnsettledFolder } from './unsettled.js'

/** The session of the moment, as narrow as results need it. */
export interface Channel {
  isOpen(): boolean
  maxMessageBytes(): number
  buffered(): number
  send(message: Encoded): void
}

export interface ResultsParts {
  channel: Channel
  /** null: results are kept in memory only. */
  folder: UnsettledFolder | null
  /** A result without an answer is sent again after this long, ms. */
  resendAfter: number
  random: () => number
  /** The signature of a completion by the key of the node; null where it signs none. */
  sign: ((result: Completion) => string) | null
  emit: Emit
  /** A result is gone: settled or refused. */
  onGone(): void
}

type Completion = Extract<Result, { type: 'task.complete' }>

interface Kept {
  result: Result
  message: Encoded
  /** Durable, or as durable as it will get; before that it is not sent. */
  ready: boolean
  /** It has gone out in the session of the moment: only then an answer can be about it. */
  sent: boolean
  /** How often the coordinator could not take it. */
  failures: number
  /** Takes back the next try. */
  cancelResend: () => void
}

export type Results = ReturnType<typeof createResults>

/** Results are put on the socket only while less than this waits there: 4,096 large ones would not fit in memory twice. */
const HIGH_WATER_BYTES = 8 * 1024 * 1024
/** A disk that takes longer is not waited for, ms: the network may deliver what it cannot keep. */
const DISK_TIMEOUT_MS = 10_000
const never = new AbortController().signal
const nothing = (): void => undefined

/** The results that are not settled: keeps each until the coordinator has said what became of it, and sends it until then. */
export function createResults(parts: ResultsParts) {
  const { channel, folder, sign, emit } = parts
  const kept = new Map<string, Kept>()
  /** What is to be sent as soon as there is room, in order. */
  const outgoing = new Set<string>()
  let bytes = 0

  const warn = (error: unknown): void =>
    emit({ type: 'warning', message: error instanceof Error ? error.message : String(error) })

  /**
   * A result as it is sent. It is signed here, and not where it is made or kept: after a start with another key those of before
   * are still good.
   */
  const messageOf = (result: Result): Encoded =>
    encode(
      result.type === 'task.complete' ? { ...result, signature: sign === null ? undefined : sign(result) } : result,
    )

  const replace = (entry: Kept, result: Result): void => {
    bytes -= entry.message.bytes
    entry.result = result
    entry.message = messageOf(result)
    bytes += entry.message.bytes
  }

  /** What is larger than the coordinator takes is failed: sending it would end the session, again and again. */
  const fit = (entry: Kept): void => {
    const limit = channel.maxMessageBytes()
    if (entry.message.bytes <= limit || entry.result.type === 'task.fail') return
    const error = `the output is too large: ${entry.message.bytes} bytes as a message, the coordinator takes ${limit}`
    emit({ type: 'warning', message: `${attemptKey(entry.result)}: ${error}` })
    replace(entry, failure(entry.result, error))
  }

  const resendIn = (key: string, entry: Kept, ms: number): void => {
    entry.cancelResend()
    entry.cancelResend = after(ms, () => {
      outgoing.add(key)
      pump()
    })
  }

  function pump(): void {
    for (const key of outgoing) {
      if (!channel.isOpen() || channel.buffered() > HIGH_WATER_BYTES) return
      outgoing.delete(key)
      const entry = kept.get(key)
      if (entry === undefined || !entry.ready) continue
      fit(entry)
      channel.send(entry.message)
      entry.sent = true
      resendIn(key, entry, parts.resendAfter)
    }
  }

  const add = (result: Result, ready: boolean): Kept => {
    const entry: Kept = { result, message: messageOf(result), ready, sent: false, failures: 0, cancelResend: nothing }
    kept.set(attemptKey(result), entry)
    bytes += entry.message.bytes
    return entry
  }

  const forget = (ref: AttemptRef): boolean => {
    const key = attemptKey(ref)
    const entry = kept.get(key)
    if (entry === undefined) return false
    entry.cancelResend()
    kept.delete(key)
    outgoing.delete(key)
    bytes -= entry.message.bytes
    folder?.remove(ref).catch(warn)
    parts.onGone()
    return true
  }

  return {
    get size() {
      return kept.size
    },
    /** No more work should be begun: the coordinator does not settle what is there. */
    get full() {
      return kept.size >= MAX_UNSETTLED || bytes > MAX_UNSETTLED_BYTES
    },
    has: (ref: AttemptRef): boolean => kept.has(attemptKey(ref)),
    list: (): AttemptRef[] => [...kept.values()].map(({ result: { task_id, attempt } }) => ({ task_id, attempt })),

    /** Takes what an earlier run has left on disk. */
    restore(results: Result[]): void {
      for (const result of results) add(result, true)
    },

    /** Keeps a new result, durably if it is a completion and there is a folder, then sends it. Never rejects. */
    async keep(result: Result): Promise<void> {
      const entry = add(result, false)
      fit(entry)
      try {
        const fitted = entry.result
        if (fitted.type === 'task.complete' && folder !== null)
          await within(DISK_TIMEOUT_MS, never, () => folder.put(fitted))
      } catch (error) {
        warn(error) // it can still be delivered from memory
      }
      entry.ready = true
      const key = attemptKey(result)
      if (kept.get(key) !== entry) return
      outgoing.add(key)
      pump()
    },

    /** Sends one again because it was asked for. */
    again(ref: AttemptRef): void {
      outgoing.add(attemptKey(ref))
      pump()
    },

    /** A session is open: everything goes out again. */
    opened(): void {
      for (const key of kept.keys()) outgoing.add(key)
      pump()
    },
    /** The session has ended: nothing is sent until the next. */
    closed(): void {
      for (const entry of kept.values()) {
        entry.cancelResend()
        entry.sent = false
      }
      outgoing.clear()
    },
    pump,

    /** false when there is no such result. */
    settled: forget,

    /** The coordinator did not take it. false when there is no such result. */
    refused(ref: AttemptRef, code: string): boolean {
      const key = attemptKey(ref)
      const entry = kept.get(key)
      if (entry === undefined) return false
      if (code === 'internal' || code === 'rate_limited') {
        resendIn(key, entry, jitteredWait(RECONNECT, entry.failures++, parts.random))
        return true
      }
      if (code === 'invalid_message' && entry.result.type === 'task.complete') {
        // It will never fit; the task must not wait here for its deadline.
        replace(entry, failure(ref, 'the coordinator does not take the result'))
        this.again(ref)
        return true
      }
      // What answers an earlier message about the attempt says nothing of a result that has not gone out: late ones may count.
      return entry.sent ? forget(ref) : false
    },
  }
}
