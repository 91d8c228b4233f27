import { randomUUID } from 'node:crypto'
import {
  JournalTruncated,
  JournalUnreachable,
  refuseTooLarge,
  type ClusterLog,
  type JournalMessage,
} from '../../src/cluster/port.js'

const AWAY = 'the servers of the log do not answer'

/** The log of a cluster in the memory of a test, with connections for coordinators of the same process. */
export function createMemoryLog() {
  const id = randomUUID()
  const messages: Uint8Array[] = []
  let first = 1
  let isAway = false
  let connectedSince = performance.now()
  const readers: (() => void)[] = []
  const told = new Map<string, Set<(message: Uint8Array) => void>>()
  const answers = new Map<string, (message: Uint8Array) => Promise<Uint8Array>>()

  const wake = (): void => {
    for (const reader of readers.splice(0)) reader()
  }
  const reached = async (): Promise<void> => {
    await Promise.resolve()
    if (isAway) throw new JournalUnreachable(AWAY)
  }
  const kept = (from: number): void => {
    if (from < first) throw new JournalTruncated(`the log begins at message ${first}`)
  }
  const at = (seq: number): JournalMessage => ({ seq, message: messages[seq - 1] ?? new Uint8Array() })

  const connect = (): ClusterLog => ({
    journal: {
      id,
      async append(after, message) {
        refuseTooLarge(message)
        await reached()
        if (after > messages.length) throw new JournalUnreachable(`message ${after} is not there`)
        if (after < messages.length) return null
        messages.push(message)
        wake()
        return messages.length
      },
      async *read(from, signal) {
        signal.addEventListener('abort', wake)
        for (let next = from; !signal.aborted; next++) {
          while (messages.length < next && !signal.aborted)
            await new Promise<void>((resolve) => {
              readers.push(resolve)
            })
          kept(next)
          if (!signal.aborted) yield at(next)
        }
      },
      async last() {
        await reached()
        return messages.length === 0 ? null : at(messages.length)
      },
      async slice(from, limit) {
        await reached()
        kept(from)
        const count = Math.min(limit, Math.max(0, messages.length - from + 1))
        return Array.from({ length: count }, (_, i) => at(from + i))
      },
      async truncate(below) {
        await reached()
        first = Math.max(first, Math.min(below, messages.length))
      },
    },
    bus: {
      publish(topic, message) {
        for (const hear of told.get(topic) ?? []) setImmediate(hear, message)
      },
      subscribe(topic, hear) {
        const all = told.get(topic) ?? new Set()
        told.set(topic, all.add(hear))
        return () => void all.delete(hear)
      },
      async request(topic, message) {
        const answer = answers.get(topic)
        if (answer === undefined) throw new JournalUnreachable(`nobody answers ${topic}`)
        return answer(message)
      },
      answer(topic, answer) {
        answers.set(topic, answer)
        return () => void answers.delete(topic)
      },
    },
    connected: () => !isAway,
    connectedSince: () => (isAway ? performance.now() : connectedSince),
    movedAt: () => -Infinity,
    close: () => Promise.resolve(),
  })
  return {
    connect,
    /** Whether its servers answer; coordinators hear each other all the same. */
    away(yes: boolean): void {
      if (isAway && !yes) connectedSince = performance.now()
      isAway = yes
    },
    /** Loses its newest messages, which it has acknowledged. */
    lose: (count: number): void => void messages.splice(-count),
  }
}
export type MemoryLog = ReturnType<typeof createMemoryLog>
