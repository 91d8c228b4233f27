import { jitteredWait, RECONNECT } from '../lib/backoff.js'
import { closeCodes, reconnectAfter } from '../wire/codes.js'
import type { SessionEnd } from './session.js'

/** A session that ended sooner is not opened again at once, whatever its code, ms. */
const SHORT_SESSION_MS = 1000
/** The longest that a service that stops may announce, seconds. */
const MAX_ANNOUNCED_SECONDS = 300

/** Whether a session has lasted: what went wrong before it does not count any more. */
export const hasLasted = ({ ready, lasted }: SessionEnd): boolean => ready && lasted >= SHORT_SESSION_MS

/**
 * What to do after a session: open another one after `wait` ms, or none.
 * @param failures sessions that did not last, in a row before this one
 * @param canRenew whether the next one can show another token
 */
export function planReconnect(
  end: SessionEnd,
  failures: number,
  canRenew: boolean,
): { wait: number } | { code: string; message: string } {
  const { unauthorized, forbidden, drained } = closeCodes
  const lasted = hasLasted(end)
  const backoff = jitteredWait(RECONNECT, lasted ? 0 : failures)
  if (end.code === drained.code) return { wait: lasted ? 0 : backoff } // we have left, or a proxy has
  if (end.code === unauthorized.code && end.ready && canRenew) return { wait: backoff }
  switch (reconnectAfter(end.code)) {
    case 'no':
      return {
        code:
          end.code === unauthorized.code
            ? 'unauthorized'
            : end.code === forbidden.code
              ? 'forbidden'
              : 'invalid_message',
        message: `the service has closed the session (${end.code}): ${end.reason}`,
      }
    case 'now':
      return { wait: lasted ? 0 : backoff }
    case 'after':
      return { wait: Math.min(end.reconnectAfter ?? 0, MAX_ANNOUNCED_SECONDS) * 1000 + backoff }
    case 'backoff':
      return { wait: backoff }
  }
}
