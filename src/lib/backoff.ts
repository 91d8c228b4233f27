/** How long a wait grows, in milliseconds: it starts at `first`, doubles, and stays at `most`. */
export interface Backoff {
  first: number
  most: number
}

/** Between two tries to reach a coordinator, and to send again what it could not take. */
export const RECONNECT: Backoff = { first: 500, most: 30_000 }

/**
 * The longest wait (ms) after `failures` tries that failed in a row.
 * @param failures from 0; any size
 */
export function longestWait({ first, most }: Backoff, failures: number): number {
  // 2 ** 40 times any wait is beyond every ceiling, and still an exact number.
  return Math.min(most, first * 2 ** Math.min(Math.max(failures, 0), 40))
}

/**
 * A wait (ms) with full jitter: evenly spread from 0 to the longest one, so that all who lost the same coordinator
 * do not come back in step.
 * @param random from 0 to below 1
 */
export function jitteredWait(backoff: Backoff, failures: number, random: () => number = Math.random): number {
  return Math.floor(random() * longestWait(backoff, failures))
}
