const realImmediate = setImmediate
/** Lets everything run that waits for nothing but promises. */
const settle = () => new Promise<void>((resolve) => void realImmediate(resolve))

/** When each schedule begins, Unix ms. */
const START = Date.UTC(2026, 0, 1)

interface Timer {
  id: number
  at: number
  every: number | null
  call(): void
}

let now = 0
let lastId = 0
/** In the order in which they go off. */
let timers: Timer[] = []

const add = (timer: Timer): void => {
  let i = timers.length
  for (let before = timers[i - 1]; before !== undefined && before.at > timer.at; before = timers[i - 1]) i--
  timers.splice(i, 0, timer)
}
const begin = (every: boolean, call: () => void, ms: number): Handle => {
  const wait = Math.max(0, ms)
  const timer = { id: ++lastId, at: now + wait, every: every ? Math.max(1, wait) : null, call }
  add(timer)
  return new Handle(timer)
}
const clear = (handle: Handle | undefined): void => {
  if (handle === undefined) return
  handle.timer.every = null
  timers = timers.filter((timer) => timer !== handle.timer)
}
class Handle {
  constructor(readonly timer: Timer) {}
  unref(): this {
    return this
  }
}
const virtual = {
  setTimeout: (call: (...values: unknown[]) => void, ms = 0, ...values: unknown[]) =>
    begin(false, () => call(...values), ms),
  setInterval: (call: (...values: unknown[]) => void, ms = 0, ...values: unknown[]) =>
    begin(true, () => call(...values), ms),
  setImmediate: (call: (...values: unknown[]) => void, ...values: unknown[]) => begin(false, () => call(...values), 0),
  clearTimeout: clear,
  clearInterval: clear,
  clearImmediate: clear,
}

/**
 * The time of this process stands still from here on, and passes only by `pass`. Not the timers of vitest: to wait for what a timer has
 * begun they wait a real millisecond, and a schedule has thousands of them.
 * @returns gives the real time back; what was to go off is forgotten
 */
export function stopTime(): () => void {
  const { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate } = globalThis
  const wall = Date.now
  now = 0
  timers = []
  Object.assign(globalThis, virtual)
  Object.assign(performance, { now: () => now })
  Date.now = () => START + now
  return () => {
    Object.assign(globalThis, { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate })
    Reflect.deleteProperty(performance, 'now')
    Date.now = wall
    timers = []
  }
}

/** Lets virtual time pass, timer by timer, and what each has begun. */
export async function pass(ms: number): Promise<void> {
  const until = now + ms
  await settle()
  for (let timer = timers[0]; timer !== undefined && timer.at <= until; timer = timers[0]) {
    timers.shift()
    now = timer.at
    if (timer.every !== null) {
      timer.at += timer.every
      add(timer)
    }
    timer.call()
    await settle()
  }
  now = until
}

/** @returns whether it came within the time, ms; looked at every `step` ms */
export async function comes(isThere: () => boolean, within: number, step = 100): Promise<boolean> {
  for (let passed = 0; passed <= within; passed += step) {
    if (isThere()) return true
    await pass(step)
  }
  return isThere()
}
