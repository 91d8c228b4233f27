import type { Backoff } from '../lib/backoff.js'

/** Between two looks whether a backend that was down is back. */
export const PROBE: Backoff = { first: 1000, most: 30_000 }
/** Before a model that a server lists, and answers that it does not have, is offered again. */
export const WITHHELD: Backoff = { first: 1000, most: 600_000 }
