import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkDatabase } from '../../src/store/maintenance/check.js'
import { coreHarness, diskFull, outcomeOf } from '../support/core-harness.js'

const TASKS = ['a', 'b', 'c', 'd', 'e']
const HOSTS = ['one.example', 'two.example']

/** Anything that may happen to tasks and their callbacks, in any order; some of it in turns that fail. */
const step = fc.oneof(
  fc.record({ do: fc.constant('submit' as const), task: fc.nat(4), host: fc.option(fc.nat(1)), undone: fc.boolean() }),
  fc.record({ do: fc.constant('cancel' as const), task: fc.nat(4), undone: fc.boolean() }),
  fc.record({ do: fc.constant('reopen' as const), task: fc.nat(4), undone: fc.boolean() }),
  fc.record({ do: fc.constant('retry' as const), task: fc.nat(4), undone: fc.boolean() }),
  fc.record({
    do: fc.constant('send' as const),
    came: fc.constantFrom('delivered' as const, 'failed' as const, 'gone' as const),
    undone: fc.boolean(),
  }),
  fc.record({ do: fc.constant('time' as const), seconds: fc.integer({ min: 1, max: 40 }), undone: fc.constant(false) }),
)

test('whatever happens, each end is told once, and what is stored of callbacks is sound', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
      const harness = coreHarness({ max_queue_time: 0 }, null, true)
      /** The message of the end of each task, where one is to be told. */
      const ends = new Map<string, string>()
      const delivered = new Set<string>()
      for (const s of steps) {
        if (s.undone) harness.commitsFail(diskFull)
        const task_id = 'task' in s ? (TASKS[s.task] ?? '') : ''
        switch (s.do) {
          case 'submit':
            harness.submit(1, { task_id, ...(s.host === null ? {} : { callback_url: `http://${HOSTS[s.host]}/` }) })
            break
          case 'cancel':
            harness.turn({ op: 'cancel', task_id })
            break
          case 'reopen':
            harness.turn({ op: 'retry', task_id })
            break
          case 'retry':
            harness.turn({ op: 'callbackRetry', task_id })
            break
          case 'time':
            harness.idles(s.seconds)
            break
          case 'send': {
            const found = outcomeOf(
              harness.turn({ op: 'callbacksDue', underWay: [], limit: 3, perHost: 2 }),
              'callbacksDue',
            )
            const due = found?.ok === true ? found.value.due : []
            const told = harness.turn({
              op: 'callbackReports',
              reports: due.map(({ task_id: of, webhook_id }) =>
                s.came === 'delivered'
                  ? { task_id: of, webhook_id, is: s.came }
                  : { task_id: of, webhook_id, is: s.came, error: 'x' },
              ),
            })
            for (const { webhook_id } of due) {
              // What was delivered, and stored so, is never due again.
              expect(delivered.has(webhook_id)).toBe(false)
              if (told.outcomes[0]?.ok === true && s.came === 'delivered') delivered.add(webhook_id)
            }
          }
        }
        if (s.undone) {
          harness.commitsFail(null)
          harness.wakes(20) // after a commit has failed nothing is written for a while
        }
        for (const of of TASKS) {
          const found = outcomeOf(harness.turn({ op: 'task', task_id: of }), 'task')
          if (found?.ok !== true || found.value.callback === null) continue
          const { task, callback } = found.value
          expect([of, callback.state === 'waiting']).toEqual([of, task.status === 'pending'])
          const before = ends.get(of)
          if (callback.webhook_id === null) ends.delete(of)
          else if (before === undefined) ends.set(of, callback.webhook_id)
          else expect(callback.webhook_id).toBe(before)
        }
      }
      harness.turn({ op: 'tick' })
      expect(checkDatabase(harness.file).filter((f) => !f.ok)).toEqual([])
      const counted = outcomeOf(harness.turn({ op: 'stats' }), 'stats')
      const rows = harness.db
        .prepare<[], { state: string; n: number }>('SELECT state, count(*) AS n FROM callbacks GROUP BY state')
        .all()
      const stored = Object.fromEntries(rows.map(({ state, n }) => [state, n]))
      expect(counted?.ok === true ? counted.value.callbacks : null).toEqual({
        waiting: 0,
        pending: 0,
        delivered: 0,
        dead: 0,
        ...stored,
      })
    }),
    { numRuns: 60 },
  )
})
