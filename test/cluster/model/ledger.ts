import { hasEnded } from '../../../src/rules/lifecycle.js'
import type { Outcome } from '../../../src/lib/result.js'
import type { Results } from '../../../src/core/operations.js'

interface End {
  status: string
  output: string | null
}
/** What somebody outside knows of a task. */
interface Known {
  acknowledged: boolean
  end: End | null
}

export type Ledger = ReturnType<typeof createLedger>

/** All that was ever answered, of which nothing may be contradicted. */
export function createLedger() {
  const tasks = new Map<string, Known>()
  const violations: string[] = []
  const knownOf = (task: string): Known => {
    const known = tasks.get(task) ?? { acknowledged: false, end: null }
    tasks.set(task, known)
    return known
  }
  const ended = (task: string, end: End, by: string): void => {
    const known = knownOf(task)
    if (known.end !== null && (known.end.status !== end.status || known.end.output !== end.output))
      violations.push(
        `I2: ${task} has ended as ${JSON.stringify(known.end)}, and ${by} says ${JSON.stringify(end)} afterwards`,
      )
    known.end ??= end
    known.acknowledged = true
  }
  return {
    violations,
    tasks: (): string[] => [...tasks].filter(([, { acknowledged }]) => acknowledged).map(([task]) => task),
    acknowledged: (task: string): void => void (knownOf(task).acknowledged = true),
    ended,
    /** To be called before a task is asked for. @returns to be called with what was answered */
    asks(task: string): (outcome: Outcome<Results['task']>, by: string) => void {
      const before = { ...knownOf(task) }
      return (outcome, by) => {
        if (!outcome.ok) {
          if (outcome.code === 'task_not_found' && before.acknowledged)
            violations.push(`I1: ${task} was acknowledged, and ${by} does not know it`)
          return
        }
        const { status, output } = outcome.value.task
        if (hasEnded(status)) return ended(task, { status, output: output === null ? null : String(output) }, by)
        if (before.end !== null)
          violations.push(`I2: ${task} has ended as ${JSON.stringify(before.end)}, and ${by} says ${status} afterwards`)
      }
    },
  }
}
