import type { Logger } from '../lib/log.js'

/**
 * What runs when something comes over a socket, so that a fault in it is logged and ends no more than that socket.
 * @param end what is done about the fault
 */
export function withoutFault<A extends unknown[]>(
  log: Pick<Logger, 'error'>,
  run: (...args: A) => void,
  end: (...args: A) => void,
): (...args: A) => void {
  return (...args) => {
    try {
      run(...args)
    } catch (error) {
      log.error({ event: 'door.failed', err: error }, 'a fault of the service; what it was about is ended')
      end(...args)
    }
  }
}
