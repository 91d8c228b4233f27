import { expect, test } from 'vitest'
import { startClustered } from '../support/cluster.js'
import { createMemoryLog } from '../support/memory-log.js'

/** As JSON in a request 900 kB, and more than one message of the log takes. */
const LARGE = Array.from({ length: 60_000 }, (_, i) => `word ${i} ...`).join('\n')

test('a prompt that is larger than a message of the log is taken, and is there after a takeover', async () => {
  const log = createMemoryLog()
  const c1 = await startClustered(log, 'c1')
  await c1.becomes('owner')
  const c2 = await startClustered(log, 'c2')
  await c2.becomes('follower')
  for (const id of ['one', 'two']) await c1.submit({ task_id: id, user_input: LARGE })
  expect((await c1.health()).body['data'].cluster.role).toBe('owner')
  await c1.stop()
  await c2.becomes('owner')
  for (const id of ['one', 'two']) {
    const { status, body } = await c2.get(`/api/v1/tasks/${id}`)
    expect(status).toBe(200)
    expect(body?.data.user_input).toBe(LARGE)
  }
  await c2.submit({ task_id: 'three', user_input: LARGE })
  expect((await c2.get('/api/v1/tasks/three')).body?.data.user_input).toBe(LARGE)
})
