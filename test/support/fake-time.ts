import type { TimeSource } from '../../src/lib/clock.js'
import type { Service } from './helpers.js'

export interface FakeTime extends TimeSource {
  /** Lets time pass in steps that the service follows: it reads the clock with every call. */
  pass(service: Pick<Service, 'get'>, seconds: number): Promise<void>
  /** Lets time pass at once, as when the machine was suspended: the service clock stands still for that long. */
  jump(seconds: number): void
}

/** A clock that stands still until a test lets time pass. */
export function fakeTime(): FakeTime {
  const start = Date.now()
  let passed = 0
  return {
    wall: () => start + passed,
    monotonic: () => passed,
    async pass(service, seconds) {
      for (let left = seconds * 1000; left > 0; left -= 1000) {
        passed += Math.min(1000, left)
        await service.get('/health')
      }
    },
    jump(seconds) {
      passed += seconds * 1000
    },
  }
}

/** Settings under which only what a test lets end by clock does. */
export const patient = {
  heartbeat_interval: 3600,
  accept_timeout: 3600,
  reconnect_grace: 3600,
  restart_grace: 3600,
  node_timeout: 86_400,
  shutdown_timeout: 1,
}
