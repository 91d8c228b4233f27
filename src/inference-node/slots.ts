import { after } from '../lib/timer.js'

/** Work that has not returned so long after it was told to stop no longer keeps its slot, ms. */
const ABORT_GRACE_MS = 10_000

/** What wants a slot. */
export interface Slotted {
  abort: AbortController
  /** What waits for a slot goes by this, the highest first, and then by its coming. */
  priority: number
}

export interface SlotsParts<T extends Slotted> {
  slots: number
  /** It has a slot from now on, though a cancelled one may still work in it. */
  onClaim(entry: T): void
  /** Works on it: resolves when that is over. */
  run(entry: T): Promise<void>
  onOverdue(entry: T): void
  onError(error: unknown): void
}

/** Which attempts of a node have a slot, which work in it, and which wait for one. */
export function createSlots<T extends Slotted>({ slots, onClaim, run, onOverdue, onError }: SlotsParts<T>) {
  /** Without a slot. */
  const beyond: T[] = []
  const claimed = new Set<T>()
  /** Claimed, but a cancelled one still works in the slot. */
  const waiting: T[] = []
  /** Runs that have not returned. */
  let working = 0
  const onIdle: (() => void)[] = []

  const start = (entry: T): void => {
    working++
    let counted = true
    const free = (): void => {
      if (!counted) return
      counted = false
      working--
      startWaiting()
      if (working === 0) for (const call of onIdle.splice(0)) call()
    }
    entry.abort.signal.addEventListener(
      'abort',
      () => {
        const cancel = after(ABORT_GRACE_MS, () => {
          onOverdue(entry)
          free()
        })
        ended.then(cancel, cancel)
      },
      { once: true },
    )
    // Not at once: work that stops its own node before its first await would find nothing here to wait for.
    const ended = Promise.resolve()
      .then(() => run(entry))
      .finally(free)
    ended.catch(onError)
  }
  function startWaiting(): void {
    while (working < slots) {
      const next = waiting.shift()
      if (next === undefined) return
      start(next)
    }
  }
  const fill = (): void => {
    while (beyond.length > 0 && claimed.size < slots) {
      const next = beyond.reduce((best, entry) => (entry.priority > best.priority ? entry : best))
      remove(beyond, next)
      claimed.add(next)
      onClaim(next)
      waiting.push(next)
    }
    startWaiting()
  }

  return {
    /** It gets a slot, at once where one is free. */
    add(entry: T): void {
      beyond.push(entry)
      fill()
    },
    /** It no longer needs one; what it still does no longer matters. */
    leave(entry: T): void {
      claimed.delete(entry)
      remove(waiting, entry)
      remove(beyond, entry)
      fill()
    },
    has: (entry: T): boolean => claimed.has(entry),
    /** Takes away what waits for a slot. */
    takeBeyond: (): T[] => beyond.splice(0),
    /** Resolves when nothing runs any more. */
    idle: (): Promise<void> => (working === 0 ? Promise.resolve() : new Promise((resolve) => onIdle.push(resolve))),
  }
}

function remove<T>(list: T[], item: T): void {
  const place = list.indexOf(item)
  if (place >= 0) list.splice(place, 1)
}
