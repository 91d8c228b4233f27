import { randomUUID } from 'node:crypto'
import {
  JournalBehind,
  JournalUnreachable,
  refuseTooLarge,
  type Bus,
  type ClusterLog,
  type Journal,
  type JournalMessage,
} from '../../../src/cluster/port.js'

/** One way to the log, and back, ms. */
const WAY_MS = 3
/** The same times as the journal on NATS has, ms. */
const APPEND_TIMEOUT_MS = 5000
const READ_TIMEOUT_MS = 2000
const BEHIND_MS = 15_000
/** A connection that was cut is taken for one for up to so long, ms. */
const UNNOTICED_MS = 4000
/** A reader that has everything looks so often whether the log has gone back, ms. */
const LOOK_MS = 1000

/** What becomes of an append. `delay`: it arrives so much later, when its sender has long given up; `reorder`: a little later, and others overtake it. */
export type AppendFault = { kind: 'lose ack' } | { kind: 'drop' } | { kind: 'delay' | 'reorder'; ms: number }
/** What does not get through any more. `in`: what the log answers; `out`: what it is asked. */
export type Cut = 'all' | 'bus' | 'journal' | 'in' | 'out'

type Wire = 'journal' | 'bus'
type Way = 'in' | 'out'

interface Stored {
  message: Uint8Array
  writer: string
}

export type MemoryLog = ReturnType<typeof createMemoryLog>
export type MemoryClient = ReturnType<MemoryLog['connect']>

/** A log in memory, as NATS has one: a journal with compare-and-set, a bus, and connections that can be disturbed, each by itself. */
export function createMemoryLog(random: () => number) {
  const id = randomUUID()
  const stored: Stored[] = []
  const subscribers = new Map<string, Set<{ client: object; told: (message: Uint8Array) => void }>>()
  const changes = new Set<() => void>()
  /** The share of messages of the bus that are lost. */
  let busLoss = 0
  const changed = (): void => {
    for (const told of [...changes]) told()
  }

  /** The compare-and-set; what the same connection has stored there before is found again. */
  const arrive = (writer: string, after: number, message: Uint8Array): number | null => {
    refuseTooLarge(message)
    if (after > stored.length) throw new JournalUnreachable(`nothing is at ${stored.length + 1} yet`)
    if (after === stored.length) {
      stored.push({ message, writer })
      changed()
      return after + 1
    }
    const there = stored[after]
    return there?.writer === writer && Buffer.compare(there.message, message) === 0 ? after + 1 : null
  }
  const at = (seq: number): JournalMessage | null => {
    const there = stored[seq - 1]
    return there === undefined ? null : { seq, message: there.message }
  }

  const connect = () => {
    const self = {}
    const writer = randomUUID()
    const cut = new Set<string>()
    const faults: AppendFault[] = []
    /** Everything is held back, both ways, until the process goes on. */
    let held: (() => void)[] | null = null
    let dead = false
    let connected = true
    let connectedSince = performance.now()
    const pending = new Set<(error: Error) => void>()
    const lag = Math.floor(random() * 3) * 150
    const unreachable = () => new JournalUnreachable('the log cannot be reached')

    const isOpen = (wire: Wire, way: Way): boolean => !dead && !cut.has(`${wire} ${way}`)
    const send = (wire: Wire, way: Way, deliver: () => void, ms = WAY_MS): void => {
      if (!isOpen(wire, way)) return
      const go = (): void => void setTimeout(deliver, ms)
      if (held === null) go()
      else held.push(go)
    }
    const loseAll = (): void => {
      for (const fail of [...pending]) fail(unreachable())
    }
    const ask = <T>(answer: () => T, timeout: number, fault?: AppendFault): Promise<T> =>
      new Promise((resolve, reject) => {
        if (dead || !connected) return reject(unreachable())
        const timer = setTimeout(() => fail(unreachable()), timeout)
        const fail = (error: Error): void => {
          clearTimeout(timer)
          pending.delete(fail)
          reject(error)
        }
        pending.add(fail)
        const reply = (tell: () => void): void => {
          if (fault?.kind !== 'lose ack') send('journal', 'in', tell)
        }
        const arrived = (): void => {
          try {
            const value = answer()
            reply(() => {
              clearTimeout(timer)
              pending.delete(fail)
              resolve(value)
            })
          } catch (error) {
            reply(() => fail(error instanceof Error ? error : new Error(String(error))))
          }
        }
        if (fault?.kind !== 'drop')
          send('journal', 'out', arrived, fault !== undefined && 'ms' in fault ? fault.ms : WAY_MS)
      })

    /** Until the log or this connection is another, or some time has passed. */
    const somethingChanges = (signal: AbortSignal): Promise<void> =>
      new Promise((resolve) => {
        const done = (): void => {
          changes.delete(done)
          signal.removeEventListener('abort', done)
          clearTimeout(timer)
          resolve()
        }
        const timer = setTimeout(done, LOOK_MS)
        changes.add(done)
        signal.addEventListener('abort', done)
      })
    const flow = (): void => {
      const flows = held ?? []
      held = null
      for (const go of flows) go()
      changed()
    }
    const isReadable = (): boolean => held === null && isOpen('journal', 'in') && isOpen('journal', 'out')

    async function* read(from: number, signal: AbortSignal): AsyncGenerator<JournalMessage> {
      let next = from
      let behindSince: number | null = null
      while (!signal.aborted) {
        if (dead) throw unreachable()
        if (isReadable()) {
          if (next > stored.length + 1) {
            behindSince ??= performance.now()
            if (performance.now() - behindSince > BEHIND_MS)
              throw new JournalBehind(`the journal ends at ${stored.length}, before ${next - 1}`)
          } else behindSince = null
          if (next <= stored.length) {
            await new Promise((resolve) => setTimeout(resolve, WAY_MS + lag))
            for (let there = at(next); there !== null && isReadable() && !signal.aborted; there = at(next)) {
              next++
              yield there
            }
            continue
          }
        }
        await somethingChanges(signal)
      }
    }

    const journal: Journal = {
      id,
      append: (after, message) => ask(() => arrive(writer, after, message), APPEND_TIMEOUT_MS, faults.shift()),
      read,
      last: () => ask(() => at(stored.length), READ_TIMEOUT_MS),
      slice: (from, limit) =>
        ask(
          () => stored.slice(from - 1, from - 1 + limit).map(({ message }, i) => ({ seq: from + i, message })),
          READ_TIMEOUT_MS,
        ),
      truncate: () => Promise.resolve(),
    }
    const bus: Bus = {
      publish(topic, message) {
        if (!connected) return
        send('bus', 'out', () => {
          for (const one of subscribers.get(topic) ?? [])
            if (one.client !== self && random() >= busLoss) one.told(message)
        })
      },
      subscribe(topic, told) {
        const one = { client: self, told: (message: Uint8Array) => send('bus', 'in', () => told(message)) }
        const all = subscribers.get(topic) ?? new Set()
        subscribers.set(topic, all.add(one))
        return () => void all.delete(one)
      },
      request: () => Promise.reject(new JournalUnreachable('the model copies files by itself')),
      answer: () => () => undefined,
    }
    const log: ClusterLog = {
      journal,
      bus,
      connected: () => connected && !dead,
      connectedSince: () => (connected ? connectedSince : performance.now()),
      movedAt: () => -Infinity,
      close: () => Promise.resolve(),
    }
    return {
      log,
      /** Whether the others hear it, and it hears them. */
      isOnBus: (): boolean => held === null && isOpen('bus', 'in') && isOpen('bus', 'out'),
      /** The next append that has no fault yet gets this one. */
      disturb: (fault: AppendFault): void => void faults.push(fault),
      cut(what: Cut) {
        for (const wire of ['journal', 'bus'] as const)
          for (const way of ['in', 'out'] as const)
            if (what === 'all' || what === wire || what === way) cut.add(`${wire} ${way}`)
        if (what === 'all')
          setTimeout(() => {
            if (cut.size < 4 || !connected) return
            connected = false
            loseAll()
          }, random() * UNNOTICED_MS)
        changed()
      },
      heal() {
        cut.clear()
        faults.length = 0
        if (!connected) connectedSince = performance.now()
        connected = true
        flow()
      },
      /** Holds everything back, both ways, and lets it flow after this time. */
      pause(ms: number) {
        if (held !== null) return
        held = []
        setTimeout(flow, ms)
      },
      /** For ever: its process is gone. */
      kill() {
        dead = true
        loseAll()
        changed()
      },
    }
  }

  return {
    connect,
    /** What is there now. */
    messages: (): JournalMessage[] => stored.map(({ message }, i) => ({ seq: i + 1, message })),
    /** The log goes back by so many messages, which it had acknowledged. */
    lose(count: number) {
      stored.length = Math.max(0, stored.length - count)
      changed()
    },
    loseOnBus(share: number) {
      busLoss = share
    },
  }
}
