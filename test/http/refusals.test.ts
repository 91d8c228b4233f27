import { expect, test } from 'vitest'
import { identity } from '../support/identity.js'
import { connectNode } from '../support/node-session.js'
import { expectRefusal, type Refused } from '../support/raw-http.js'
import { startService, task } from '../support/service.js'
import { state } from '../support/stored-state.js'

test('a request that is refused changes no state', async () => {
  const service = await startService({ max_node_slots: 8 })
  const session = await connectNode(service, 'proven', { supported_models: ['deepseek'] })
  await service.register('node-a')
  await service.register('node-b', { supported_models: ['mistral'] })
  await service.post('/api/v1/nodes/heartbeat', { node_id: 'node-b', status: 'maintenance' })
  const complete = (task_id: string, more: Record<string, unknown> = {}) =>
    service.post('/api/v1/tasks/complete', {
      task_id,
      output: 'out',
      confidence: 0.5,
      inference_node_id: 'node-a',
      ...more,
    })
  const fail = (task_id: string, more: Record<string, unknown> = {}) =>
    service.post('/api/v1/tasks/fail', {
      task_id,
      error: 'why',
      retryable: false,
      inference_node_id: 'node-a',
      ...more,
    })
  const submit = (more: Record<string, unknown>) => service.post('/api/v1/tasks/submit', task(more))
  for (const [id, end] of [
    ['done', complete],
    ['failed', fail],
    ['held', null],
  ] as const) {
    await service.submit({ task_id: id })
    expect((await service.poll('node-a')).task_id).toBe(id)
    if (end !== null) expect((await end(id)).status).toBe(200)
  }
  await service.submit({ task_id: 'waiting', model_name: 'gemma-2' })
  const before = await state(service)

  const proven = { public_key: identity('proven').publicKey }
  const beat = (body: unknown) => service.post('/api/v1/nodes/heartbeat', body)
  const without = (field: string, body: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(body).filter(([k]) => k !== field))
  const refusals: Refused[] = [
    ...['user_address', 'user_input', 'infer_fee', 'max_infer_time', 'model_name'].map((f): Refused => [
      () => service.post('/api/v1/tasks', without(f, task())),
      400,
      'invalid_request',
      new RegExp(`^${f}: .*missing`),
    ]),
    ...[
      'user_address',
      'user_input',
      'context',
      'model_name',
      'signed_tx',
      'signer_public_key',
      'task_id',
      'model_type',
    ].map((f): Refused => [() => submit({ [f]: 5 }), 400, 'invalid_request', new RegExp(`^${f}: `)]),
    [() => submit({ is_encrypted: true }), 400, 'invalid_request', /is_encrypted/],
    [() => submit({ is_encrypted: 'no' }), 400, 'invalid_request', /is_encrypted/],
    [() => submit({ task_id: 'held', user_input: 'other' }), 409, 'conflict', /task_id/],
    [() => submit({ task_id: 'done', nonce: 1 }), 409, 'conflict', /task_id/],
    [() => service.post('/api/v1/tasks/batch', {}), 400, 'invalid_request', /^tasks: /],
    [() => service.post('/api/v1/tasks/batch', { tasks: {} }), 400, 'invalid_request', /^tasks: /],
    [
      () => service.post('/api/v1/tasks/batch', { tasks: Array.from({ length: 1001 }, () => task()) }),
      400,
      'invalid_request',
      /^tasks: .*1,?000/,
    ],
    ...['node_id', 'endpoint', 'public_key', 'supported_models'].map((f): Refused => [
      () =>
        service.post(
          '/api/v1/nodes/register',
          without(f, { node_id: 'new', endpoint: '', public_key: 'k', supported_models: [] }),
        ),
      400,
      'invalid_request',
      new RegExp(`^${f}: .*missing`),
    ]),
    ...(
      [
        ['endpoint', 5],
        ['public_key', 5],
        ['public_key', null],
        ['supported_models', 'llama'],
        ['supported_models', [5]],
        ['supported_models', null],
        ['performance_score', -0.01],
        ['performance_score', 1.01],
        ['performance_score', '1'],
        ['node_address', 5],
        ['max_concurrent_tasks', 0],
        ['max_concurrent_tasks', -1],
        ['max_concurrent_tasks', 1.5],
        ['max_concurrent_tasks', '2'],
        ['max_concurrent_tasks', 9],
        ['max_concurrent_tasks', 1025],
      ] as const
    ).map(([f, value]): Refused => [
      () => service.register('node-a', { [f]: value }),
      400,
      'invalid_request',
      new RegExp(`^${f}`),
    ]),
    [
      () => service.register('node-a', { public_key: 'another', supported_models: ['gemma'] }),
      409,
      'conflict',
      /public_key/,
    ],
    [() => service.register('proven', { ...proven, supported_models: ['gemma'] }), 403, 'forbidden', /proven/],
    [() => service.register('proven', { public_key: identity('thief').publicKey }), 409, 'conflict', /public_key/],
    [() => beat({ node_id: 'nobody', status: 'online' }), 404, 'node_not_registered', /nobody/],
    [
      () => beat({ node_id: 'node-a', status: 'asleep' }),
      400,
      'invalid_request',
      /^status: .*online.*offline.*busy.*maintenance/,
    ],
    [() => beat({ node_id: 'node-a' }), 400, 'invalid_request', /^status: .*missing/],
    [() => beat({ status: 'online' }), 400, 'invalid_request', /^node_id: .*missing/],
    [() => beat({ node_id: 'proven', status: 'offline' }), 403, 'forbidden', /proven/],
    [() => service.get('/api/v1/nodes/nobody/tasks'), 404, 'node_not_registered', /nobody/],
    [() => service.get('/api/v1/nodes/proven/tasks'), 403, 'forbidden', /proven/],
    [() => service.get('/api/v1/tasks/nothing/status'), 404, 'task_not_found', /nothing/],
    [() => complete('nothing'), 404, 'task_not_found', /nothing/],
    [() => complete('held', { inference_node_id: 'node-b' }), 409, 'conflict', /node-b/],
    [() => complete('held', { inference_node_id: 'nobody' }), 409, 'conflict', /nobody/],
    [() => complete('held', { inference_node_id: 'proven' }), 403, 'forbidden', /proven/],
    [() => complete('waiting'), 409, 'conflict', /waiting/],
    [() => complete('failed'), 409, 'conflict', /failed/],
    [() => complete('done', { output: 'other' }), 409, 'conflict', /output/],
    [() => complete('held', { confidence: 1.01 }), 400, 'invalid_request', /^confidence: /],
    [() => complete('held', { confidence: -0.01 }), 400, 'invalid_request', /^confidence: /],
    [() => complete('held', { confidence: '0.5' }), 400, 'invalid_request', /^confidence: /],
    [() => complete('held', { confidence: null }), 400, 'invalid_request', /^confidence: /],
    [() => complete('held', { confidence: undefined }), 400, 'invalid_request', /^confidence: .*missing/],
    ...[5, null, ['a'], { text: 'a' }, true].map((output): Refused => [
      () => complete('held', { output }),
      400,
      'invalid_request',
      /^output: /,
    ]),
    [() => complete('held', { output: undefined }), 400, 'invalid_request', /^output: .*missing/],
    [() => complete('held', { inference_node_id: undefined }), 400, 'invalid_request', /^inference_node_id: .*missing/],
    [() => fail('nothing'), 404, 'task_not_found', /nothing/],
    [() => fail('held', { inference_node_id: 'node-b' }), 409, 'conflict', /node-b/],
    [() => fail('held', { inference_node_id: 'proven' }), 403, 'forbidden', /proven/],
    [() => fail('waiting'), 409, 'conflict', /waiting/],
    [() => fail('done'), 409, 'conflict', /done/],
    [() => fail('held', { error: 5 }), 400, 'invalid_request', /^error: /],
    [() => fail('held', { error: undefined }), 400, 'invalid_request', /^error: .*missing/],
    [() => fail('held', { retryable: 'no' }), 400, 'invalid_request', /^retryable: /],
    [
      () => service.send('POST', '/api/v1/tasks/complete', '{}', { 'content-type': 'text/plain' }),
      415,
      'unsupported_media_type',
      /Content-Type/,
    ],
    [() => service.send('DELETE', '/api/v1/tasks/held/status'), 405, 'method_not_allowed', /DELETE/],
    [() => service.post('/api/v1/tasks/held', {}), 405, 'method_not_allowed', /POST/],
  ]
  for (const [ask, status, code, names] of refusals) expectRefusal(await ask(), status, code, names)
  expect(await state(service)).toEqual(before)
  expect(session.inbox).toEqual([])
  expect((await complete('held')).status).toBe(200) // the lease was still the node's
})
