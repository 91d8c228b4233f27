import { onTestFinished } from 'vitest'
import { createScheduler } from '../../src/core/engine/scheduler.js'
import type { Operation, TurnResult } from '../../src/core/operations.js'
import { done } from '../../src/lib/result.js'
import { until } from './wait.js'

/** Turns over a core that answers when it is told to, and a clock that the test moves. */
export function slowCore(took = { all: 0, commit: 0 }, tasks = { waiting: 0, working: 0, ended: 0, places: 0 }) {
  let t = 0
  const asked: { operations: readonly Operation[]; answer(): void }[] = []
  const told: unknown[] = []
  const turns = createScheduler({
    runner: {
      maxInFlight: 1,
      turn(operations, then) {
        const result: TurnResult = {
          outcomes: operations.map((o) =>
            done(o.op === 'submit' ? o.tasks.map(() => done({ task_id: 't', status: 'pending' as const })) : null),
          ),
          effects: [],
          events: [],
          wakeIn: 1000,
          busy: false,
          tasks,
          took,
        }
        asked.push({ operations, answer: () => then(result) })
      },
    },
    deliver: (effects) => told.push(...effects),
    log: () => undefined,
    now: () => t,
    active: () => t, // it never rests
  })
  onTestFinished(() => turns.end())
  return {
    turns,
    told,
    passes: (ms: number) => void (t += ms),
    /** The next turn that the core is asked for, without ticks. */
    async next(): Promise<{ operations: readonly Operation[]; answer(): void }> {
      const found = await until(() => asked.shift() ?? null, 'a turn')
      return { ...found, operations: found.operations.filter((o) => o.op !== 'tick') }
    },
  }
}
export const submit: Operation = { op: 'submit', tasks: [] }
export const beat: Operation = { op: 'nodeSeen', session: 1 }
