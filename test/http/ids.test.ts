import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exchange, expectRefusal } from '../support/raw-http.js'
import { startService, task } from '../support/service.js'

test('invalid UTF-8 or percent-encoding in the path or in ?running= is 400', async () => {
  const service = await startService()
  await service.register('node-1')
  for (const segment of ['%ff', 'a%C3', '%ED%A0%80', '%zz', '%', 'a%2']) {
    for (const path of [
      `/api/v1/nodes/${segment}/tasks`,
      `/api/v1/tasks/${segment}/status`,
      `/api/v1/nodes/node-1/tasks?running=${segment}`,
    ]) {
      const answer = await exchange(service, 'GET', path)
      expect
        .soft({ path, status: answer.status, code: (JSON.parse(answer.text || '{}') as { code?: string }).code })
        .toEqual({ path, status: 400, code: 'invalid_request' })
    }
  }
})

test('an id in the path that no one may have is 400', async () => {
  const service = await startService()
  for (const segment of ['a%2Fb', '%00', '%0A', '%7F', '%C2%85', 'x'.repeat(129)]) {
    expectRefusal(await service.get(`/api/v1/nodes/${segment}/tasks`), 400, 'invalid_request', /^node_id: /)
    expectRefusal(await service.get(`/api/v1/tasks/${segment}/status`), 400, 'invalid_request', /^task_id: /)
  }
})

test('an id is 1 to 128 characters without slash and control characters and not a dot segment', async () => {
  const service = await startService()
  await service.register('node-1')
  for (const id of [
    '',
    '.',
    '..',
    '/',
    'a/b',
    '\0',
    'a\nb',
    '\u007f',
    '\u009f',
    'x'.repeat(129),
    '😀'.repeat(129),
    '\ud800',
    5,
    true,
    [],
    {},
  ]) {
    expectRefusal(await service.post('/api/v1/tasks', task({ task_id: id })), 400, 'invalid_request', /^task_id: /)
    expectRefusal(await service.register(id as string), 400, 'invalid_request', /^node_id: /)
    expectRefusal(
      await service.post('/api/v1/nodes/heartbeat', { node_id: id, status: 'online' }),
      400,
      'invalid_request',
      /^node_id: /,
    )
    expectRefusal(
      await service.post('/api/v1/tasks/complete', {
        task_id: id,
        output: '',
        confidence: 1,
        inference_node_id: 'node-1',
      }),
      400,
      'invalid_request',
      /^task_id: /,
    )
    expectRefusal(
      await service.post('/api/v1/tasks/fail', { task_id: 't', error: '', inference_node_id: id }),
      400,
      'invalid_request',
      /^inference_node_id: /,
    )
  }
  for (const id of [
    'x',
    '...',
    '.a',
    ' ',
    'x'.repeat(128),
    '😀'.repeat(128),
    '%',
    '%2F',
    '%41',
    'a?b=c#d',
    'a,b',
    'a+b',
    '\\',
    '"',
    "'; DROP TABLE inference_tasks;--",
    '__proto__',
    'constructor',
    'é',
    'e\u0301',
  ]) {
    expect((await service.post('/api/v1/tasks', task({ task_id: id, model_name: 'llama-3' }))).body?.data).toEqual({
      task_id: id,
    })
    expect(await service.status(id)).toMatchObject({ task_id: id, status: 'pending' })
    expect((await service.register(id)).status).toBe(200)
    // It names what it has, in whatever characters, so that it is not handed out again.
    expect(await service.poll(id)).toMatchObject({ task_id: id, attempt: 1 })
    expect(await service.poll(id, [id])).toBeNull()
    expect(
      (await service.post('/api/v1/tasks/complete', { task_id: id, output: 'o', confidence: 1, inference_node_id: id }))
        .status,
    ).toBe(200)
  }
})

test('whatever id is offered, the service takes exactly the valid ones and finds them again', async () => {
  const service = await startService()
  const piece = fc.oneof(
    { weight: 6, arbitrary: fc.string({ unit: 'binary', maxLength: 3 }) },
    fc.constantFrom(
      '.',
      '/',
      '%',
      '%2e',
      '\0',
      '\u0080',
      '\ud800',
      '\udfff',
      '😀',
      '?',
      '#',
      '+',
      ' ',
      'x'.repeat(126),
    ),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 5 }), async (pieces) => {
      const id = pieces.join('')
      // A surrogate pair that was put together from two pieces is one character.
      const characters = [...id]
      const valid =
        characters.length >= 1 &&
        characters.length <= 128 &&
        id.isWellFormed() &&
        !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}/]/u.test(id) && // a new id has nothing that is not seen
        id !== '.' &&
        id !== '..'
      const answer = await service.post('/api/v1/tasks', task({ task_id: id }))
      if (!valid) return expectRefusal(answer, 400, 'invalid_request', /^task_id: /)
      expect(answer.body).toMatchObject({ success: true, data: { task_id: id }, error: null })
      expect(await service.status(id)).toMatchObject({ task_id: id })
    }),
    { numRuns: 150, examples: [[['\ud83d', '\ude00']]] },
  )
})
