import fc from 'fast-check'
import { expect, test } from 'vitest'
import { partsOf } from '../../src/http/submissions.js'
import { fillSubmission } from '../../src/wire/rest.js'
import { batch } from '../support/rest-calls.js'
import { startService, task } from '../support/service.js'
import { countTasks } from '../support/stored-state.js'

const MIB = 2 ** 20

test('the parts of a batch are all of it in its order, each of at most 400 entries and 1 MiB, or one entry', () => {
  const sizes = fc.array(fc.oneof(fc.nat(2000), fc.nat(200_000), fc.nat(3 * MIB)), { maxLength: 1000 })
  fc.assert(
    fc.property(sizes, (all) => {
      const submissions = all.map((size) =>
        fillSubmission({ user_address: 'ST', user_input: 'x'.repeat(size), infer_fee: 1, max_infer_time: 60 } as never),
      )
      const parts = [...partsOf(submissions)]
      expect(parts.flat()).toEqual(submissions)
      for (const part of parts) {
        expect(part.length).toBeLessThanOrEqual(400)
        const units = part.reduce((sum, s) => sum + s.user_input.length, 0)
        if (part.length > 1) expect(units).toBeLessThanOrEqual(MIB)
      }
      expect(parts.length).toBeGreaterThan(0)
    }),
    { numRuns: 30 },
  )
})

test('a batch that is stored in parts is answered whole, in its order, with what is wrong in its place', async () => {
  const service = await startService({ max_pending_per_user: 1000 })
  const ids = Array.from({ length: 900 }, (_, i) => `t${i}`)
  const entries = ids.map((task_id) => ({ ...task({ user_input: `${task_id} ${'x'.repeat(4000)}` }), task_id }))
  const results = await batch(service, [...entries.slice(0, 450), { user_input: 1 }, ...entries.slice(450)])
  expect(results.map((r) => ('task_id' in r ? r.task_id : r.code))).toEqual([
    ...ids.slice(0, 450),
    'invalid_request',
    ...ids.slice(450),
  ])
  expect(countTasks(service)).toBe(900)
  // Sent again it is the same tasks.
  expect(await batch(service, entries)).toMatchObject(ids.map((task_id) => ({ task_id })))
  expect(countTasks(service)).toBe(900)
})

test('an empty batch is an empty answer', async () => {
  const service = await startService()
  expect(await batch(service, [])).toEqual([])
})
