import { expect, test } from 'vitest'
import { batch, complete, statusAndCode } from '../support/rest-calls.js'
import { inspect, startService, task } from '../support/service.js'
import { countTasks } from '../support/stored-state.js'

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
    expect(answer.body?.data).toMatchObject({ task_id: expect.stringMatching(/./) })
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

test('a service without the key of a signer takes no encrypted task', async () => {
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
    expect({ other, ...statusAndCode(answer) }).toEqual({ other, status: 409, code: 'conflict' })
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
    expect(statusAndCode(a)).toEqual(
      i % 2 === winner ? { status: 200, code: undefined } : { status: 409, code: 'conflict' },
    ),
  )
  expect(countTasks(service)).toBe(1)
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
  expect(results).toMatchObject([
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
  expect(statusAndCode(await service.post('/api/v1/tasks/batch', { tasks }))).toEqual({
    status: 400,
    code: 'invalid_request',
  })
  expect(countTasks(service)).toBe(0)
  expect(await batch(service, tasks.slice(0, 1000))).toMatchObject(
    Array.from({ length: 1000 }, (_, i) => ({ task_id: `t-${i}` })),
  )
  expect(countTasks(service)).toBe(1000)
  expect((await service.post('/api/v1/tasks/batch', { tasks: [] })).body?.data).toEqual({ results: [] })
})
