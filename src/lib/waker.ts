import { pause as pauseFor } from './timer.js'

/** Pauses of a loop, which those end who have something for it. */
export function createWaker() {
  let awake = false
  let over = false
  let endPause: (() => void) | null = null
  return {
    /** Ends the pause of now; without one, the next. */
    wake(): void {
      awake = true
      endPause?.()
    },
    /** What has woken it until now is seen to. */
    calm(): void {
      awake = false
    },
    /** There are no pauses any more. */
    stop(): void {
      over = true
      endPause?.()
    },
    /** Until it is woken, or so many ms have passed, at least 1. */
    async pause(ms: number): Promise<void> {
      if (awake || over) return
      const cut = new AbortController()
      endPause = () => cut.abort()
      await pauseFor(Math.max(1, ms), cut.signal)
      endPause = null
    },
  }
}
