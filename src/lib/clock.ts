import { performance } from 'node:perf_hooks'

/** Where time comes from; passed in, so that tests and recoveries can choose it. Both in milliseconds. */
export interface TimeSource {
  /** Wall-clock time since the Unix epoch. May jump. */
  wall(): number
  /** Time since some start. Never jumps and never goes back. */
  monotonic(): number
}

export const systemTime: TimeSource = { wall: () => Date.now(), monotonic: () => performance.now() }

/** A gap between two looks at the clock longer than this means that the process stood still (ms). */
export const STALL_MS = 2000

/**
 * The clock that deadlines are written in (ms). It runs while the coordinator is able to serve: it stands still
 * while the process is down (it starts at the value that was saved last), while it is suspended or stalled (a gap of
 * more than STALL_MS between two readings), and while the store cannot be written (`hold`). It does not follow jumps
 * of the wall clock. So one stored number moves every open deadline by exactly the time that was the
 * coordinator's own fault. It must be read more often than STALL_MS.
 */
export interface ServiceClock {
  now(): number
  hold(): void
  release(): void
}

export function createServiceClock(time: TimeSource, start: number): ServiceClock {
  let value = start
  let last = time.monotonic()
  let held = false
  return {
    now() {
      const t = time.monotonic()
      const gap = t - last
      last = t
      if (!held && gap <= STALL_MS) value += gap
      return Math.floor(value)
    },
    hold() {
      this.now()
      held = true
    },
    release() {
      this.now()
      held = false
    },
  }
}

export const toSeconds = (ms: number): number => Math.floor(ms / 1000)
