import type { Comeback } from '../core/operations.js'

/** When sessions may come back after a stop, in seconds: time for a restart. */
const RECONNECT_AFTER_SECONDS = 5

/** What sessions are told when the service stops. @param to the URL where they go on at once; undefined: here, after the restart */
export const comebackOf = (to: string | undefined): Comeback =>
  to === undefined ? { reconnect_after: RECONNECT_AFTER_SECONDS } : { reconnect_after: 0, reconnect_to: to }
