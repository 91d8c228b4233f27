import { longestWait, PROBE } from './backoff.js'
import type { DeclaredStatus } from './events.js'
import { after, within } from './timer.js'

export interface AvailabilityParts {
  /** Throws or rejects while the backend cannot work. */
  check(signal: AbortSignal): void | Promise<void>
  /** Called when the status has changed. */
  onChange(status: DeclaredStatus, reason: string): void | Promise<void>
}

export type Availability = ReturnType<typeof createAvailability>

/** A check that takes longer than this has failed, ms. */
const CHECK_TIMEOUT_MS = 15_000

/** Whether the backend can work: turns `maintenance` when it is found down, and `online` when its check passes again. */
export function createAvailability({ check, onChange }: AvailabilityParts) {
  const stopped = new AbortController()
  let status: DeclaredStatus = 'online'
  let failures = 0
  let cancelProbe = (): void => undefined

  const checkNow = async (): Promise<string | null> => {
    try {
      await within(CHECK_TIMEOUT_MS, stopped.signal, check)
      return null
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }
  const probeLater = (): void => {
    // Grows until a task has been done: a check may pass where the work does not.
    cancelProbe = after(longestWait(PROBE, failures++), () => void probe())
  }
  const probe = async (): Promise<void> => {
    const problem = await checkNow()
    if (stopped.signal.aborted) return
    if (problem !== null) return probeLater()
    status = 'online'
    await onChange('online', 'the backend is back')
  }
  const down = (reason: string): void => {
    if (status === 'maintenance' || stopped.signal.aborted) return
    status = 'maintenance'
    probeLater()
    void onChange('maintenance', reason)
  }

  return {
    get status() {
      return status
    },
    /** The first look, before the first hello. */
    async start(): Promise<void> {
      const problem = await checkNow()
      if (problem !== null) down(problem)
    },
    /** Work has found the backend down. */
    down,
    /** A task has been done. */
    proven(): void {
      if (status === 'online') failures = 0
    },
    stop(): void {
      stopped.abort()
      cancelProbe()
    },
  }
}
