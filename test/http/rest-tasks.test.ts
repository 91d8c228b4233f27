import { expect, test } from 'vitest'
import { connectNode } from '../support/node-session.js'
import { type Answer, inspect, type Service, startService, task } from '../support/service.js'
import { until } from '../support/wait.js'

const complete = (service: Service, inference_node_id: string, task_id: string, more: Record<string, unknown> = {}) =>
  service.post('/api/v1/tasks/complete', { task_id, output: 'out', confidence: 0.85, inference_node_id, ...more })
const fail = (service: Service, inference_node_id: string, task_id: string, more: Record<string, unknown> = {}) =>
  service.post('/api/v1/tasks/fail', { task_id, inference_node_id, error: 'the model crashed', ...more })
const batch = async (service: Service, tasks: unknown[]) =>
  (await service.post('/api/v1/tasks/batch', { tasks })).body?.data.results as (
    { task_id: string } | { error: string; code: string }
  )[]
const countTasks = (service: Service) =>
  inspect(service.file, (db) => db.prepare('SELECT count(*) FROM inference_tasks').pluck().get())
const word = (answer: Answer) => ({ status: answer.status, code: answer.body?.code })
/** What a node with one slot gets, in order, when it completes each task before it asks for the next. */
async function workThrough(service: Service, nodeId: string): Promise<string[]> {
  const order: string[] = []
  for (let t = await service.poll(nodeId); t !== null; t = await service.poll(nodeId)) {
    order.push(t.task_id as string)
    await complete(service, nodeId, t.task_id as string)
  }
  return order
}

test('a task is submitted at both paths, and its status has every documented field and no other', async () => {
  const service = await startService()
  for (const path of ['/api/v1/tasks/submit', '/api/v1/tasks']) {
    const submitted = {
      user_address: 'ST1',
      user_input: 'q',
      context: 'c',
      fee: 1,
      nonce: '2',
      infer_fee: 3,
      max_infer_time: 4,
      model_name: 'DeepSeek-R1',
      signed_tx: '0x01',
      is_encrypted: false,
      signer_public_key: '02ab',
    }
    const answer = await service.post(path, submitted)
    expect(answer.status).toBe(200)
    expect(answer.body?.data).toEqual({ task_id: expect.stringMatching(/./) })
    const task_id = answer.body?.data.task_id as string
    expect(await service.status(task_id)).toEqual({
      task_id,
      status: 'pending',
      user_address: 'ST1',
      user_input: 'q',
      context: 'c',
      model_name: 'DeepSeek-R1',
      model_type: 'deepseek',
      fee: 1,
      nonce: 2,
      infer_fee: 3,
      max_infer_time: 4,
      created_at: expect.any(Number),
      updated_at: expect.any(Number),
      attempts: 0,
      error: null,
      txid: null,
      result: null,
    })
  }
})

test('ids that the service makes up differ', async () => {
  const service = await startService()
  const ids = (
    await batch(
      service,
      Array.from({ length: 500 }, () => task()),
    )
  ).map((r) => 'task_id' in r && r.task_id)
  expect(new Set(ids).size).toBe(500)
})

test('what may be missing has a default, and null means missing where there is nothing', async () => {
  const service = await startService()
  const { context: _, ...rest } = task()
  const id = await service.submit({ context: undefined })
  expect(await service.status(id)).toMatchObject({ context: '', fee: 0, nonce: 0 })
  expect(
    (
      await service.post('/api/v1/tasks', {
        ...rest,
        task_id: null,
        context: null,
        signed_tx: null,
        signer_public_key: null,
        is_encrypted: null,
      })
    ).status,
  ).toBe(200)
})

test('model_type is a synonym of model_name', async () => {
  const service = await startService()
  const { model_name: _, ...rest } = task()
  const answer = await service.post('/api/v1/tasks', { ...rest, task_id: 't', model_type: 'mixtral-8x7b' })
  expect(answer.status).toBe(200)
  expect(await service.status('t')).toMatchObject({ model_name: 'mixtral-8x7b', model_type: 'mistral' })
  expect((await service.post('/api/v1/tasks', { ...rest, task_id: 't', model_name: 'mixtral-8x7b' })).status).toBe(200)
  expect(
    (await service.post('/api/v1/tasks', { ...rest, task_id: 'both', model_name: 'llama-3', model_type: 'gemma' }))
      .status,
  ).toBe(200)
  expect(await service.status('both')).toMatchObject({ model_name: 'llama-3', model_type: 'llama' })
  expect((await service.post('/api/v1/tasks', rest)).body).toMatchObject({
    code: 'invalid_request',
    error: expect.stringMatching(/model_name/),
  })
})

test('encrypted tasks are refused until they are supported', async () => {
  const service = await startService()
  expect((await service.post('/api/v1/tasks', task({ is_encrypted: true }))).body).toMatchObject({
    code: 'invalid_request',
    error: expect.stringMatching(/is_encrypted/),
  })
  expect(await countTasks(service)).toBe(0)
})

test('the same id with the same content is answered 200 again and creates nothing, in whatever state the task is', async () => {
  const service = await startService()
  await service.register('node-1')
  const first = task({ task_id: 't', user_input: 'q', fee: 0, context: '' })
  const again = {
    ...task({ task_id: 't', user_input: 'q', nonce: '0', signed_tx: null }),
    infer_fee: '2500',
    context: undefined,
  }
  const repeat = async () => {
    for (const path of ['/api/v1/tasks', '/api/v1/tasks/submit'])
      expect((await service.post(path, again)).body).toEqual({ success: true, data: { task_id: 't' }, error: null })
    expect(await batch(service, [again])).toEqual([{ task_id: 't' }])
    expect(countTasks(service)).toBe(1)
  }
  await service.post('/api/v1/tasks', first)
  await repeat()
  await service.poll('node-1')
  await repeat()
  expect(await service.status('t')).toMatchObject({ status: 'in_progress', attempts: 1 })
  await complete(service, 'node-1', 't')
  await repeat()
  expect(await service.status('t')).toMatchObject({ status: 'completed', attempts: 1 })
})

test('the same id with other content is 409, whichever field differs', async () => {
  const service = await startService()
  await service.submit({ task_id: 't' })
  const before = await service.status('t')
  for (const other of [
    { user_address: 'ST2' },
    { user_input: 'What is the capital of france?' },
    { user_input: 'x' },
    { context: ' ' },
    { fee: 1 },
    { nonce: 1 },
    { infer_fee: 2501 },
    { max_infer_time: 61 },
    { model_name: 'llama-3-70b' },
    { signed_tx: '0x' },
  ]) {
    const answer = await service.post('/api/v1/tasks', task({ task_id: 't', ...other }))
    expect({ other, ...word(answer) }).toEqual({ other, status: 409, code: 'conflict' })
    expect(answer.body?.error).toMatch(/^task_id: /)
  }
  expect(await service.status('t')).toEqual(before)
  expect(countTasks(service)).toBe(1)
})

test('many submissions of one id at once make one task', async () => {
  const service = await startService()
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, i) => service.post('/api/v1/tasks', task({ task_id: 't', nonce: i % 2 }))),
  )
  const winner = (await service.status('t')).nonce as number
  answers.forEach((a, i) =>
    expect(word(a)).toEqual(i % 2 === winner ? { status: 200, code: undefined } : { status: 409, code: 'conflict' }),
  )
  expect(countTasks(service)).toBe(1)
})

test('a submission is in the file when its answer comes, and so is a whole batch', async () => {
  const service = await startService()
  const id = await service.submit()
  const inFile = () =>
    inspect(service.file, (db) => db.prepare('SELECT task_id FROM inference_tasks ORDER BY rowid').pluck().all())
  expect(inFile()).toEqual([id])
  const results = await batch(service, [task(), task(), task()])
  expect(inFile()).toEqual([id, ...results.map((r) => 'task_id' in r && r.task_id)])
})

test('a batch is answered in the order given, and a bad entry does not fail the rest', async () => {
  const service = await startService({ max_message_bytes: 16_384 })
  await service.submit({ task_id: 'taken' })
  const results = await batch(service, [
    task({ task_id: 'a' }),
    task({ task_id: 'b', fee: -1 }),
    5,
    null,
    [],
    task({ task_id: 'taken', nonce: 1 }),
    task({ task_id: 'taken' }),
    task({ task_id: 'a' }),
    task({ task_id: 'a', user_input: 'other' }),
    task({ task_id: 'big', user_input: 'x'.repeat(20_000) }),
    task({ task_id: 'lone', user_input: '\ud800' }),
    task({ is_encrypted: true }),
    {},
    task({ task_id: 'z' }),
  ])
  const bad = (code: string, names: RegExp) => ({ error: expect.stringMatching(names), code })
  expect(results).toEqual([
    { task_id: 'a' },
    bad('invalid_request', /^fee: /),
    bad('invalid_request', /object/),
    bad('invalid_request', /object/),
    bad('invalid_request', /./),
    bad('conflict', /^task_id: /),
    { task_id: 'taken' },
    { task_id: 'a' },
    bad('conflict', /^task_id: /),
    bad('too_large', /user_input/),
    bad('invalid_request', /^user_input: /),
    bad('invalid_request', /is_encrypted/),
    bad('invalid_request', /missing/),
    { task_id: 'z' },
  ])
  expect(
    inspect(service.file, (db) => db.prepare('SELECT task_id FROM inference_tasks ORDER BY rowid').pluck().all()),
  ).toEqual(['taken', 'a', 'z'])
})

test('a batch holds up to 1,000 submissions, and one more is 400 and stores nothing', async () => {
  const service = await startService()
  const tasks = Array.from({ length: 1001 }, (_, i) => task({ task_id: `t-${i}` }))
  expect(word(await service.post('/api/v1/tasks/batch', { tasks }))).toEqual({ status: 400, code: 'invalid_request' })
  expect(countTasks(service)).toBe(0)
  expect(await batch(service, tasks.slice(0, 1000))).toEqual(
    Array.from({ length: 1000 }, (_, i) => ({ task_id: `t-${i}` })),
  )
  expect(countTasks(service)).toBe(1000)
  expect((await service.post('/api/v1/tasks/batch', { tasks: [] })).body?.data).toEqual({ results: [] })
})

test('a completion is stored as it was said, and answered once it is in the file', async () => {
  const service = await startService()
  await service.register('node-1')
  for (const [output, confidence] of [
    ['', 0],
    ['The answer', 1],
    ['{"json": true}', 0.85],
  ] as const) {
    const id = await service.submit()
    await service.poll('node-1')
    const answer = await complete(service, 'node-1', id, { output, confidence })
    expect(answer.body).toEqual({ success: true, data: 'Task completed', error: null })
    expect(
      inspect(service.file, (db) =>
        db
          .prepare('SELECT status, output, confidence, inference_node_id FROM inference_tasks WHERE task_id = ?')
          .get(id),
      ),
    ).toEqual({ status: 'completed', output, confidence, inference_node_id: 'node-1' })
    const t = await service.status(id)
    expect(t).toMatchObject({ status: 'completed', attempts: 1, error: null, txid: null })
    expect(t.result).toEqual({ output, confidence, completed_at: expect.any(Number), inference_node_id: 'node-1' })
  }
})

test('the same completion again from the same node is 200 and changes nothing', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  await complete(service, 'node-1', id)
  const before = await service.status(id)
  const again = await Promise.all(Array.from({ length: 5 }, () => complete(service, 'node-1', id)))
  for (const answer of again) expect(answer.body).toEqual({ success: true, data: 'Task completed', error: null })
  expect(await service.status(id)).toEqual(before)
})

test('a completion that does not count is 409 and changes nothing', async () => {
  const service = await startService()
  await service.register('node-1', { max_concurrent_tasks: 9 })
  await service.register('node-2')
  const ids = { held: '', done: '', failed: '', other: '' }
  for (const name of ['held', 'done', 'failed'] as const) {
    ids[name] = await service.submit({ task_id: name })
    await service.poll('node-1')
  }
  await complete(service, 'node-1', 'done')
  await fail(service, 'node-1', 'failed', { retryable: false })
  await service.submit({ task_id: 'waiting' })
  const before = await Promise.all(['held', 'done', 'failed', 'waiting'].map(service.status))
  for (const [node, id, more] of [
    ['node-2', 'held', {}],
    ['nobody', 'held', {}],
    ['node-1', 'waiting', {}],
    ['node-1', 'failed', {}],
    ['node-1', 'done', { output: 'other' }],
    ['node-2', 'done', {}],
    ['node-2', 'failed', {}],
  ] as const) {
    const answer = await complete(service, node, id, more)
    expect({ node, id, ...word(answer) }).toEqual({ node, id, status: 409, code: 'conflict' })
  }
  expect(word(await complete(service, 'node-1', 'nothing'))).toEqual({ status: 404, code: 'task_not_found' })
  expect(await Promise.all(['held', 'done', 'failed', 'waiting'].map(service.status))).toEqual(before)
  expect((await complete(service, 'node-1', 'held')).status).toBe(200)
})

test('a completion counts for the newest attempt that the node was given', async () => {
  const service = await startService({ max_attempts: 5 })
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  await fail(service, 'node-1', id)
  expect(await service.poll('node-1')).toMatchObject({ task_id: id, attempt: 2 }) // there is no other node
  expect((await complete(service, 'node-1', id)).status).toBe(200)
  expect(inspect(service.file, (db) => db.prepare('SELECT attempt, end FROM attempts ORDER BY attempt').all())).toEqual(
    [
      { attempt: 1, end: 'failed' },
      { attempt: 2, end: 'completed' },
    ],
  )
})

test('a late result is taken while the task has none, and the attempt that runs elsewhere is cancelled', async () => {
  const service = await startService()
  await service.register('late')
  const id = await service.submit()
  await service.poll('late')
  await fail(service, 'late', id)
  const node = await connectNode(service, 'prompt')
  const assigned = await node.next('task.assign')
  expect(assigned).toMatchObject({ task_id: id, attempt: 2 })
  node.accept(assigned)
  expect((await complete(service, 'late', id, { output: 'first' })).status).toBe(200)
  expect(await node.next('task.cancel')).toMatchObject({ task_id: id, attempt: 2, reason: 'superseded' })
  node.complete(assigned, 'second')
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt', task_id: id })
  expect(await service.status(id)).toMatchObject({
    status: 'completed',
    result: { output: 'first', inference_node_id: 'late' },
  })
  expect((await complete(service, 'late', id, { output: 'first' })).status).toBe(200)
})

test('a failure that may be retried queues the task for another node at once', async () => {
  const service = await startService()
  await service.register('node-1')
  await service.register('node-2')
  const id = await service.submit()
  await service.poll('node-1')
  for (const body of [{}, { retryable: true }]) expect((await fail(service, 'node-1', id, body)).status).toBe(200)
  expect(await service.status(id)).toMatchObject({ status: 'pending', attempts: 1, error: null, result: null })
  expect(await service.poll('node-1')).toBeNull() // while another that is online can serve it
  expect(await service.poll('node-2')).toMatchObject({ task_id: id, attempt: 2 })
  await fail(service, 'node-2', id)
  expect(await service.poll('node-1')).toMatchObject({ task_id: id, attempt: 3 }) // now every node has failed it
  await fail(service, 'node-1', id, { error: 'out of memory' })
  expect(await service.status(id)).toMatchObject({
    status: 'failed',
    attempts: 3,
    error: expect.stringMatching(/out of memory/),
    result: null,
  })
  expect(await service.poll('node-2')).toBeNull()
})

test('a failure that may not be retried ends the task with the words of the node', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  for (let i = 0; i < 2; i++)
    expect((await fail(service, 'node-1', id, { retryable: false, error: 'the prompt is too long 😀' })).status).toBe(
      200,
    )
  expect(await service.status(id)).toMatchObject({
    status: 'failed',
    attempts: 1,
    error: 'the prompt is too long 😀',
    result: null,
  })
  const silent = await service.submit()
  await service.poll('node-1')
  await fail(service, 'node-1', silent, { retryable: false, error: '' })
  expect((await service.status(silent)).error).toMatch(/./) // a sentence, not nothing
})

test('a failure that does not count is refused', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  expect(word(await fail(service, 'node-1', 'nothing'))).toEqual({ status: 404, code: 'task_not_found' })
  expect(word(await fail(service, 'node-1', id))).toEqual({ status: 409, code: 'conflict' })
  await service.poll('node-1')
  expect(word(await fail(service, 'node-2', id))).toEqual({ status: 409, code: 'conflict' })
  await complete(service, 'node-1', id)
  expect(word(await fail(service, 'node-1', id))).toEqual({ status: 409, code: 'conflict' })
  expect(await service.status(id)).toMatchObject({ status: 'completed' })
})

test('attempts counts those that have begun: accepted, or handed to a poll', async () => {
  const service = await startService()
  const node = await connectNode(service, 'node-1')
  const id = await service.submit()
  const first = await node.next('task.assign')
  expect(await service.status(id)).toMatchObject({ status: 'in_progress', attempts: 0 })
  node.say({ type: 'task.reject', task_id: id, attempt: first.attempt, reason: 'no' })
  await service.reaches(id, 'pending')
  await service.register('poller')
  expect(await service.poll('poller')).toMatchObject({ task_id: id, attempt: 2 })
  expect(await service.status(id)).toMatchObject({ status: 'in_progress', attempts: 1 })
  await fail(service, 'poller', id)
  await service.reaches(id, 'pending')
  const other = await connectNode(service, 'node-2')
  const third = await other.next('task.assign')
  expect(third).toMatchObject({ attempt: 3 })
  other.accept(third)
  await until(async () => (await service.status(id)).attempts === 2)
})

test('updated_at moves with the status and created_at does not', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  const first = await service.status(id)
  await until(() => Math.floor(Date.now() / 1000) > first.created_at)
  await service.poll('node-1')
  const second = await service.status(id)
  expect(second.created_at).toBe(first.created_at)
  expect(second.updated_at).toBeGreaterThan(first.updated_at as number)
})

test('an input that is too large to push is 413 at submission, as JSON counts it', async () => {
  const service = await startService({ max_message_bytes: 16_384 })
  for (const bad of [
    { user_input: 'x'.repeat(16_384) },
    { context: 'x'.repeat(16_384) },
    { signed_tx: 'x'.repeat(16_384) },
    { user_input: 'x'.repeat(8_000), context: 'x'.repeat(8_000) },
    { user_input: '\0'.repeat(3_000) }, // six bytes each
    { user_input: '語'.repeat(5_000) }, // three bytes each
  ]) {
    const answer = await service.post('/api/v1/tasks', task(bad))
    expect(word(answer)).toEqual({ status: 413, code: 'too_large' })
    expect(answer.body?.error).toMatch(/user_input/)
  }
  expect(countTasks(service)).toBe(0)
  const node = await connectNode(service, 'node-1')
  // As much as is taken, and the longest names around it: what is pushed still fits into one message.
  const model_name = 'llama'.padEnd(128, '語')
  for (const [i, user_input] of ['x'.repeat(14_330), '\0'.repeat(2_388), '語'.repeat(4_776)].entries()) {
    const id = await service.submit({ user_input, model_name, task_id: `${'😀'.repeat(127)}${i}` })
    const assigned = await node.next('task.assign')
    expect(assigned).toMatchObject({ task_id: id, user_input })
    expect(Math.max(...node.frames.map((frame) => Buffer.byteLength(frame)))).toBeLessThanOrEqual(16_384)
    node.complete(assigned)
    await node.next('task.settled')
  }
})

test('a full queue is 503 with Retry-After, but for what is in it already, until a task leaves it', async () => {
  const service = await startService({ max_pending_tasks: 2 })
  await service.register('node-1')
  const first = await service.submit()
  await service.submit()
  const answer = await service.post('/api/v1/tasks', task({ task_id: 'more' }))
  expect(word(answer)).toEqual({ status: 503, code: 'queue_full' })
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  expect((await service.get('/api/v1/tasks/more/status')).status).toBe(404)
  expect((await service.post('/api/v1/tasks', task({ task_id: first }))).status).toBe(200)
  await service.poll('node-1')
  expect(await batch(service, [task({ task_id: 'a' }), task({ task_id: 'b' }), task({ task_id: first })])).toEqual([
    { task_id: 'a' },
    { error: expect.stringMatching(/full/), code: 'queue_full' },
    { task_id: first },
  ])
  expect(countTasks(service)).toBe(3)
})

test('a user with too many waiting tasks is 429 with Retry-After, and no other user is', async () => {
  const service = await startService({ max_pending_per_user: 2 })
  await service.register('node-1')
  const mine = { user_address: 'ST-mine', infer_fee: 9 }
  await service.submit(mine)
  expect(await batch(service, [task({ ...mine, task_id: 'second' }), task({ ...mine, task_id: 'third' })])).toEqual([
    { task_id: 'second' },
    { error: expect.stringMatching(/ST-mine/), code: 'rate_limited' },
  ])
  const answer = await service.post('/api/v1/tasks', task({ ...mine, task_id: 'third' }))
  expect(word(answer)).toEqual({ status: 429, code: 'rate_limited' })
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  expect((await service.post('/api/v1/tasks', task({ ...mine, task_id: 'second' }))).status).toBe(200)
  await service.submit({ user_address: 'ST-other', infer_fee: 1 })
  const first = (await service.poll('node-1')).task_id as string
  await fail(service, 'node-1', first) // it waits again, and so counts again
  expect((await service.post('/api/v1/tasks', task({ ...mine, task_id: 'third' }))).status).toBe(429)
  expect(await service.poll('node-1')).toMatchObject({ task_id: first, attempt: 2 })
  await complete(service, 'node-1', first)
  expect((await service.post('/api/v1/tasks', task({ ...mine, task_id: 'third' }))).status).toBe(200)
})

test('the limit per user holds after a restart', async () => {
  const first = await startService({ max_pending_per_user: 1 })
  await first.submit()
  await first.stop()
  const second = await startService({ max_pending_per_user: 1, database_path: first.file })
  expect((await second.post('/api/v1/tasks', task())).status).toBe(429)
  await second.register('node-1')
  await second.poll('node-1')
  expect((await second.post('/api/v1/tasks', task())).status).toBe(200)
})

test('a task that waited longer than max_queue_time is a timeout, and one that a node holds is not', async () => {
  const service = await startService({ max_queue_time: 0.3 })
  await service.register('node-1')
  const held = await service.submit()
  // On a slow machine it may be a timeout before the poll comes; what is asked here is only that no held one becomes one.
  const polled = await service.poll('node-1')
  const waiting = await service.submit()
  expect(await service.reaches(waiting, 'timeout')).toMatchObject({
    attempts: 0,
    error: expect.stringMatching(/max_queue_time/),
    result: null,
  })
  expect(await service.status(held)).toMatchObject({ status: polled === null ? 'timeout' : 'in_progress' })
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({
    pending_tasks: 0,
    timeout_tasks: polled === null ? 2 : 1,
  })
})

test('tasks go by the fee, and by age where the fee is the same', async () => {
  const service = await startService()
  await service.register('node-1')
  const fees = [5, 9, 1, 9, Number.MAX_SAFE_INTEGER, 0, 5]
  const models = ['llama', 'llama-2', 'LLAMA-3', 'llama', 'codellama', 'llama-2', 'llama-3']
  await batch(
    service,
    fees.map((infer_fee, i) => task({ task_id: `t${i}`, infer_fee, model_name: models[i] })),
  )
  expect(await workThrough(service, 'node-1')).toEqual(['t4', 't1', 't3', 't0', 't6', 't2', 't5'])
})

test('a task that is queued again keeps its place by age', async () => {
  const service = await startService()
  await service.register('node-1')
  const first = await service.submit()
  const second = await service.submit()
  expect(await service.poll('node-1')).toMatchObject({ task_id: first })
  await fail(service, 'node-1', first)
  expect(await workThrough(service, 'node-1')).toEqual([first, second])
})

test('tasks are pushed by fee and age too', async () => {
  const service = await startService()
  const fees = [5, 9, 1, 9, 5]
  await batch(
    service,
    fees.map((infer_fee, i) => task({ task_id: `t${i}`, infer_fee })),
  )
  const node = await connectNode(service, 'node-1')
  const order: string[] = []
  for (let i = 0; i < fees.length; i++) {
    const assigned = await node.next('task.assign')
    order.push(assigned.task_id)
    node.complete(assigned)
  }
  expect(order).toEqual(['t1', 't3', 't0', 't4', 't2'])
})

test('a task that has waited too long goes before every other, by age', async () => {
  const service = await startService({ starvation_after: 0.2 })
  await batch(service, [task({ task_id: 'old-1', infer_fee: 0 }), task({ task_id: 'old-2', infer_fee: 3 })])
  // The column that tasks go by: above every fee now.
  await until(
    () =>
      inspect(
        service.file,
        (db) => db.prepare('SELECT min(queue_rank) FROM inference_tasks').pluck().get() === 2 ** 53,
      ),
    'both being starved',
  )
  await service.submit({ task_id: 'rich', infer_fee: Number.MAX_SAFE_INTEGER })
  await service.register('node-1')
  expect(await workThrough(service, 'node-1')).toEqual(['old-1', 'old-2', 'rich'])
})

test('a task that is queued again after it waited too long goes first again', async () => {
  const service = await startService({ starvation_after: 0.2 })
  await service.register('node-1')
  await service.submit({ task_id: 'old', infer_fee: 0 })
  await until(
    () => inspect(service.file, (db) => db.prepare('SELECT queue_rank FROM inference_tasks').pluck().get() === 2 ** 53),
    'it being starved',
  )
  expect(await service.poll('node-1')).toMatchObject({ task_id: 'old' })
  await service.submit({ task_id: 'rich', infer_fee: Number.MAX_SAFE_INTEGER })
  await fail(service, 'node-1', 'old')
  expect(await workThrough(service, 'node-1')).toEqual(['old', 'rich'])
})

test('a task whose attempts outlive max_infer_time is queued again until timeout_attempts have', async () => {
  const service = await startService({ timeout_attempts: 2 })
  await service.register('node-1')
  await service.register('node-2')
  const id = await service.submit({ max_infer_time: 1 })
  await service.poll('node-1')
  expect(await service.reaches(id, 'pending')).toMatchObject({ attempts: 1, error: null })
  expect(await service.poll('node-2')).toMatchObject({ task_id: id, attempt: 2 })
  expect(await service.reaches(id, 'timeout')).toMatchObject({
    attempts: 2,
    error: expect.stringMatching(/max_infer_time/),
  })
})
