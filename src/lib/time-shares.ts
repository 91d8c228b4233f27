import type { AddressKeys } from './address.js'

/** What one address may take of each turn of the event loop, ms: with all others a turn is a few times as long. */
const SHARE_MS = 3
/** Who has been alone for so long has so much more of a turn, ms: fewer turns are cheaper, for each has its commit. */
const ALONE_AFTER_MS = 1000
const ALONE_MS = 12
/** What waits and is done in one turn, of all addresses together, ms. */
const ROUND_MS = 15
/** Steps that are shorter are done together, ms. */
const STEP_MS = 0.5
/** What is counted for no address waits here when it is done in steps, and has all of a round. */
const UNCOUNTED: AddressKeys = [{ key: 'uncounted', times: ROUND_MS / SHARE_MS }]

/** What it takes to read a chunk of so many bytes from a socket, ms. */
export const chunkMs = (bytes: number): number => 0.02 + bytes / 1_000_000
/** What it takes to write so much text as JSON, and that to a socket, ms. */
export const writeMs = (units: number): number => units / 200_000

/** Time of the event loop, as it is shared between addresses. Where an address is not counted nothing of it waits. */
export interface TimeShares {
  /** Whether the address has time left in this turn, and nothing of it waits. */
  hasTime(keys: AddressKeys): boolean
  /** Counts what was done for the address, or will be, ms. What is more than its share it has less of the turns that follow. */
  charge(keys: AddressKeys, ms: number): void
  /** Does a step, which throws nothing, and counts its time: now, or in a later turn, after what came before it from the same address. */
  run(keys: AddressKeys, step: () => void): void
  /** The same, and never now. */
  later(keys: AddressKeys, step: () => void): void
  /** Does what takes long in steps of about a millisecond. @returns what they come to; rejects when one of them throws */
  inSteps<T>(keys: AddressKeys, steps: Iterator<void, T>): Promise<T>
}

/**
 * One address has at most so much of each turn of the event loop; what it asks beyond that waits, and what is not read of it is
 * held back by its own sockets. So turns are short whatever one address does, and nobody else waits for more than a turn or two. Who
 * is alone has turn after turn, and more of each.
 * @param now a clock, ms
 */
export function createTimeShares(now: () => number = () => performance.now()): TimeShares {
  /** What each address has left, ms; below 0 it has to wait. Those with all of their share are not kept. */
  const left = new Map<string, { ms: number; share: number }>()
  /** What waits, by address. */
  const lines = new Map<string, { keys: AddressKeys; steps: (() => void)[] }>()
  let scheduled = false
  /** Who was here last, since when nobody else was, and whether that is for long. */
  let last: string | null = null
  let lastSince = now()
  let isAlone = false

  const schedule = (): void => {
    if (scheduled) return
    scheduled = true
    setImmediate(nextTurn)
  }
  const isOver = ({ key }: { key: string }): boolean => (left.get(key)?.ms ?? 1) <= (isAlone ? -ALONE_MS : 0)
  const see = ([first]: AddressKeys): void => {
    const key = first?.key ?? ''
    if (key === last) return
    last = key
    lastSince = now()
    isAlone = false
  }
  const count = (keys: AddressKeys, ms: number): void => {
    for (const { key, times } of keys) {
      const account = left.get(key)
      if (account === undefined) left.set(key, { ms: SHARE_MS * times - ms, share: SHARE_MS * times })
      else account.ms -= ms
    }
    schedule()
  }
  const measured = (keys: AddressKeys, step: () => void): void => {
    const began = now()
    try {
      step()
    } finally {
      count(keys, now() - began)
    }
  }
  /** A step of each address that has time left, again and again: who has had one is put last, and the loop comes to him once more. */
  const round = (): void => {
    const end = now() + ROUND_MS
    for (const [key, line] of lines) {
      if (line.keys.some(isOver)) continue
      if (now() >= end) return
      const step = line.steps.shift()
      lines.delete(key)
      if (line.steps.length > 0) lines.set(key, line)
      if (step !== undefined) measured(line.keys, step)
    }
  }
  function nextTurn(): void {
    scheduled = false
    if (isAlone) left.clear()
    isAlone = now() - lastSince >= ALONE_AFTER_MS
    for (const [key, account] of left) {
      account.ms += account.share
      if (account.ms >= account.share) left.delete(key)
    }
    round()
    if (left.size > 0 || lines.size > 0) schedule()
  }

  const later = (keys: AddressKeys, step: () => void): void => {
    const own = keys.length === 0 ? UNCOUNTED : keys
    const key = own[0]?.key ?? ''
    const line = lines.get(key)
    if (line === undefined) lines.set(key, { keys: own, steps: [step] })
    else line.steps.push(step)
    schedule()
  }
  const hasTime = (keys: AddressKeys): boolean =>
    keys.length === 0 || left.size + lines.size === 0 || !(lines.has(keys[0]?.key ?? '') || keys.some(isOver))
  const run = (keys: AddressKeys, step: () => void): void => {
    see(keys)
    if (keys.length === 0) step()
    else if (hasTime(keys)) measured(keys, step)
    else later(keys, step)
  }
  return {
    hasTime,
    charge(keys, ms) {
      see(keys)
      if (keys.length > 0) count(keys, ms)
    },
    run,
    later,
    inSteps: <T>(keys: AddressKeys, steps: Iterator<void, T>) =>
      new Promise<T>((resolve, reject) => {
        const next = (): void => {
          try {
            for (const end = now() + STEP_MS; ;) {
              const step = steps.next()
              if (step.done === true) return resolve(step.value)
              if (now() >= end) return later(keys, next)
            }
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
          }
        }
        run(keys, next)
      }),
  }
}
