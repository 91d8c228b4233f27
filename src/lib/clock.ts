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

/**
 * When something was, Unix ms, that is known in the service clock: by a moment of which the second of the wall clock is known too,
 * where the clock that is now does not agree with it, for the service clock stood still while the service was down.
 * @param toWall from the service clock to the wall clock, as it is now
 */
export function wallOf(ms: number, known: { ms: number; at: number }, toWall: number): number {
  const shift = toSeconds(known.ms + toWall) === known.at ? 0 : known.at * 1000 - (known.ms + toWall)
  return Math.floor(ms + toWall + shift)
}
