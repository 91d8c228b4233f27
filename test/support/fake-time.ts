import { setTimeout as sleep } from 'node:timers/promises'
import { onTestFinished, vi } from 'vitest'
import type { TimeSource } from '../../src/lib/clock.js'
import type { Service } from './service.js'

/** How far time goes at once, ms: far below the gap from which on a coordinator takes itself for stalled. */
const STEP = 1000
/** What has not come within this does not come any more, ms. */
const FOREVER = 3_600_000

export interface FakeTime extends TimeSource {
  /**
   * Lets time pass in steps that the service follows: it reads the clock with every call. What became due meanwhile is done
   * when this is over.
   */
  pass(service: Pick<Service, 'get' | 'send'>, seconds: number): Promise<void>
  /** Lets time pass in such steps until this comes. */
  until<T>(service: Pick<Service, 'get' | 'send'>, coming: Promise<T>): Promise<T>
  /** Lets time pass at once: nobody reads the clock meanwhile, as when the service is down or the machine suspended. */
  jump(seconds: number): void
  /** The clock of the machine is set, forward or back: only wall-clock time sees it. */
  set(seconds: number): void
}

/** A clock that stands still until a test lets time pass. */
export function fakeTime(): FakeTime {
  const start = Date.now()
  let passed = 0
  let setBy = 0
  const step = async (service: Pick<Service, 'get' | 'send'>, ms: number): Promise<void> => {
    passed += ms
    await service.get('/health')
  }
  return {
    wall: () => start + setBy + passed,
    monotonic: () => passed,
    async pass(service, seconds) {
      for (let left = seconds * 1000; left > 0; left -= STEP) await step(service, Math.min(STEP, left))
      await sleep(2) // its timer for what is due, set with its last answer, has gone off
      await service.send('POST', '/api/v1/tasks/none/cancel') // waits for the same commit
    },
    async until(service, coming) {
      let came = false
      const end = passed + FOREVER
      const mark = (): void => void (came = true)
      coming.then(mark, mark)
      while (!came) {
        if (passed > end) throw new Error('it did not come within an hour of the time of the test')
        await step(service, STEP)
        await sleep(1) // what this step has sent is on its way
      }
      return coming
    },
    jump(seconds) {
      passed += Math.round(seconds * 1000)
    },
    set(seconds) {
      setBy += Math.round(seconds * 1000)
    },
  }
}

/**
 * The timers of this process stand still until the test lets time pass, or ends. For what keeps time by itself: sockets, and
 * the inference node.
 * @param what may be `performance` instead: then its clock stands still, and timers go off by the real one
 */
export function fakeTimers(
  ...what: ('setTimeout' | 'clearTimeout' | 'setInterval' | 'clearInterval' | 'performance')[]
) {
  vi.useFakeTimers({ toFake: what.length > 0 ? what : ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  return {
    /** Lets time pass at once; what goes off meanwhile runs. */
    jump: (seconds: number) => void vi.advanceTimersByTime(seconds * 1000),
    /** The same, and waits in between for what it has begun. */
    pass: async (seconds: number) => void (await vi.advanceTimersByTimeAsync(seconds * 1000)),
  }
}
