import { unavailableTurn } from '../core/engine/open-core.js'
import type { CoreRunner } from '../core/engine/runner.js'
import type { Operation, TurnResult } from '../core/operations.js'
import type { Publisher } from './publisher.js'

/** So many turns may wait for the log at once. */
const MAX_TURNS = 8
/** How long a stop waits for the log to have the last turns, ms. */
const FLUSH_MS = 5000

/** A core whose turns are told to nobody before the log has what they wrote. */
export interface DurableRunner extends CoreRunner {
  /** From here on nothing is acknowledged: turns that wait, and all to come, are refused, and the file is written no more. */
  abandon(why: string): void
  /** Whether new work is refused, because the log does not keep up. */
  behind(): boolean
}

/**
 * @param publish made with the runner, which it tells how far the log is
 * @param damaged told when a turn has found the database damaged; nothing of that turn is acknowledged once it abandons the runner
 */
export function durableRunner(
  runner: CoreRunner,
  publish: (runner: CoreRunner) => Pick<Publisher, 'push' | 'flush' | 'stop' | 'behind'>,
  damaged: (what: string) => void = () => undefined,
): DurableRunner {
  const publisher = publish(runner)
  let abandoned: string | null = null
  const waiting = new Set<{ operations: readonly Operation[]; then: (result: TurnResult) => void }>()
  return {
    opened: runner.opened,
    maxInFlight: MAX_TURNS,
    turn(operations, then) {
      if (abandoned !== null) return then(unavailableTurn(operations, abandoned))
      const turn = { operations, then }
      waiting.add(turn)
      runner.turn(operations, (result) => {
        if (result.damaged !== undefined) damaged(result.damaged)
        publisher.push(result.written ?? null, () => {
          if (waiting.delete(turn)) then(result)
        })
      })
    },
    startBackups: runner.startBackups,
    acknowledged: runner.acknowledged,
    behind: () => abandoned === null && publisher.behind(),
    abandon(why) {
      if (abandoned !== null) return
      abandoned = why
      publisher.stop()
      for (const { operations, then } of waiting) then(unavailableTurn(operations, why))
      waiting.clear()
    },
    async close() {
      await runner.close(abandoned !== null)
      if (abandoned === null) await publisher.flush(FLUSH_MS)
      publisher.stop()
    },
  }
}
