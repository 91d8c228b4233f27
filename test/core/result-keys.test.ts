import { expect, test } from 'vitest'
import type { TurnResult } from '../../src/core/operations.js'
import { assigned, coreHarness, diskFull, outcomeOf } from '../support/core-harness.js'
import { identity } from '../support/identity.js'

const { publicKey } = identity('n')

/** A node of this key that is given every task. */
function working() {
  const core = coreHarness()
  core.turn({ ...core.hello(1, 'n', 64), key: publicKey } as never)
  const begin = () => {
    const [assignment] = assigned(core.submit(1).effects)
    if (assignment === undefined) throw new Error('nothing was given to the node')
    return assignment
  }
  const complete = ({ task_id, attempt }: { task_id: string; attempt: number }, signature?: string): TurnResult =>
    core.turn({
      op: 'nodeMessage',
      session: 1,
      message: { type: 'task.complete', task_id, attempt, output: 'x', confidence: 1, usage: null, signature },
    })
  const receiptOf = (task_id: string) => {
    const found = outcomeOf(core.turn({ op: 'receipt', task_id }), 'receipt')
    return found?.ok === true ? found.value : undefined
  }
  const rows = (table: string): unknown => core.db.prepare(`SELECT count(*) FROM ${table}`).pluck().get()
  return { ...core, begin, complete, receiptOf, rows }
}

test('the key of a node is written with its first result, and not again while it stays the same', () => {
  const { begin, complete, receiptOf, rows } = working()
  const tasks = [begin(), begin(), begin()]
  expect(rows('result_keys')).toBe(0)
  for (const task of tasks) complete(task)
  expect(rows('result_keys')).toBe(1)
  for (const { task_id } of tasks)
    expect(receiptOf(task_id)).toMatchObject({ node_key: publicKey, node_key_proven: true })
})

test('a result that could not be stored leaves neither key nor signature behind, and brings both when it comes again', () => {
  const { begin, complete, receiptOf, rows, commitsFail, passes } = working()
  const task = begin()
  commitsFail(diskFull)
  complete(task, 'ab'.repeat(64))
  commitsFail(null)
  passes(1000) // until it looks again whether it can write
  expect([rows('result_keys'), rows('result_signatures')]).toEqual([0, 0])
  expect(receiptOf(task.task_id)).toBeUndefined()
  complete(task, 'cd'.repeat(64))
  expect([rows('result_keys'), rows('result_signatures')]).toEqual([1, 1])
  expect(receiptOf(task.task_id)).toMatchObject({ node_key: publicKey, node_signature: 'cd'.repeat(64) })
})

test('a result that is said twice keeps its first signature', () => {
  const { begin, complete, receiptOf, rows } = working()
  const task = begin()
  complete(task, 'ab'.repeat(64))
  complete(task, 'cd'.repeat(64))
  complete(task)
  expect(rows('result_signatures')).toBe(1)
  expect(receiptOf(task.task_id)).toMatchObject({ node_signature: 'ab'.repeat(64) })
})
