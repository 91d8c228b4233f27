import { expect, onTestFinished, test } from 'vitest'
import type { Operation, TurnResult } from '../../src/core/operations.js'
import { createScheduler } from '../../src/core/engine/scheduler.js'
import { done } from '../../src/lib/result.js'
import { fakeTimers } from '../support/fake-time.js'
import { until } from '../support/wait.js'

/** Turns over a core that answers when it is told to, as after a sync beside it. @param commit how long each takes, ms */
function turns(commit = 0.5, now?: () => number) {
  const asked: { operations: readonly Operation[]; answer(beside: boolean): void }[] = []
  const { call, end } = createScheduler({
    runner: {
      maxInFlight: 1,
      turn(operations, then) {
        const result: TurnResult = {
          outcomes: operations.map(() => done(null)),
          effects: [],
          events: [],
          wakeIn: 1000,
          busy: false,
          took: { all: commit + 0.5, commit },
        }
        asked.push({ operations, answer: (beside) => then(beside ? { ...result, beside: true } : result) })
      },
    },
    deliver: () => undefined,
    log: () => undefined,
    ...(now && { now }),
  })
  onTestFinished(end)
  return {
    asked,
    send: (n: number) => Array.from({ length: n }, () => call({ op: 'nodeSeen', session: 1 })),
    next: () => until(() => asked.shift() ?? null, 'a turn'),
    /** Lets the event loop do what there is to do. */
    async settle() {
      for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

test('while a sync is on its way beside the core a few operations wait for it, and many are a turn of their own', async () => {
  const { asked, send, next, settle } = turns()
  void send(1)
  ;(await next()).answer(true)
  void send(1)
  const waits = await next()
  void send(63)
  await settle()
  expect(asked).toEqual([])
  void send(1)
  const meanwhile = await next()
  expect(meanwhile.operations).toHaveLength(64)
  void send(5)
  await settle()
  expect(asked).toEqual([])
  waits.answer(true)
  await settle()
  expect(asked).toEqual([]) // the other one is on its way still
  meanwhile.answer(true)
  expect((await next()).operations).toHaveLength(5)
})

test('when syncs are no longer beside the core one turn is on its way at a time, however many operations wait', async () => {
  const { asked, send, next, settle } = turns()
  void send(1)
  ;(await next()).answer(true)
  void send(1)
  ;(await next()).answer(false)
  void send(1)
  const only = await next()
  void send(100)
  await settle()
  expect(asked).toEqual([])
  only.answer(false)
  expect((await next()).operations).toHaveLength(100)
})

test('after a commit that is dear operations wait for others to share the next, but many do not where syncs run beside the core', async () => {
  const { jump } = fakeTimers()
  const { asked, send, settle } = turns(16, () => 0)
  const turn = async () => {
    await settle()
    return asked.shift()
  }
  for (let i = 0; i < 3; i++) {
    void send(4)
    ;(await turn())?.answer(true)
  }
  void send(63)
  expect(await turn()).toBeUndefined()
  void send(1)
  const many = await turn()
  expect(many?.operations).toHaveLength(64)
  many?.answer(false)
  void send(100)
  expect(await turn()).toBeUndefined()
  jump(0.004)
  expect((await turn())?.operations.filter(({ op }) => op === 'nodeSeen')).toHaveLength(100)
})
