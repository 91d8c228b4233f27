import type { Logger } from '../lib/log.js'
import type { CloseReason } from '../wire/codes.js'

type Close = (reason: CloseReason, text: string) => void
/** A handler out of which nothing that is thrown gets. */
export type Guarded = <A extends unknown[]>(handler: (...args: A) => void) => (...args: A) => void

export type Guard = ReturnType<typeof createGuard>

/**
 * What is thrown in the handler of a socket event or of a timer would end the process, and with it every other session. Here it
 * ends one session, and is told in the log.
 */
export function createGuard(log: Pick<Logger, 'error'>) {
  const fault = (close: Close, error: unknown): void => {
    log.error({ event: 'session.failed', err: error }, 'a session failed')
    try {
      close('internal', 'the service failed; connect again')
    } catch (again) {
      log.error({ event: 'session.failed', err: again }, 'a session that failed could not be closed')
    }
  }
  const guarded =
    (close: Close): Guarded =>
    (handler) =>
    (...args) => {
      try {
        handler(...args)
      } catch (error) {
        fault(close, error)
      }
    }
  /** For what belongs to no session, such as a timer of all: what is thrown is told in the log, and nothing else ends. */
  const logged: Guarded =
    (handler) =>
    (...args) => {
      try {
        handler(...args)
      } catch (error) {
        log.error({ event: 'sessions.failed', err: error }, 'something that is done for all sessions failed')
      }
    }
  /** Does something that concerns this session. */
  const attempt = (session: { close: Close }, step: () => void): void => {
    try {
      step()
    } catch (error) {
      fault((reason, text) => session.close(reason, text), error)
    }
  }
  return { guarded, attempt, logged }
}
