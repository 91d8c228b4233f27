import { expect, test } from 'vitest'
import type { Operation } from '../../src/core/operations.js'
import { coreHarness, outcomeOf } from '../support/core-harness.js'
import { connectClient } from '../support/client-session.js'
import { startService, task } from '../support/service.js'
import { until } from '../support/wait.js'

test('a task whose model no registered node serves is taken, and its submitter is told the names that are near', async () => {
  const service = await startService()
  await service.register('n', { supported_models: ['Llama3:8b', 'mistral', 'qwen2.5-coder'] })
  const submit = async (model_name: string) =>
    (await service.post('/api/v1/tasks/submit', task({ task_id: model_name, model_name }))).body?.data
  expect(await submit('llama-3-8b')).toEqual({
    task_id: 'llama-3-8b',
    warnings: [
      {
        code: 'no_node_for_model',
        message: 'no registered node serves llama-3-8b, so the task waits for one that does; did you mean Llama3:8b?',
        did_you_mean: ['Llama3:8b'],
      },
    ],
  })
  expect(await submit('something else')).toMatchObject({
    warnings: [
      { message: 'no registered node serves something else, so the task waits for one that does', did_you_mean: [] },
    ],
  })
  for (const served of ['LLAMA3:8B', 'llama', 'mistral-7b']) expect(await submit(served)).toEqual({ task_id: served })
  expect(await service.status('something else')).toMatchObject({ status: 'pending' })
})

test('why a task waits has the names that are near to its model too', async () => {
  const service = await startService()
  await service.submit({ task_id: 'typo', model_name: 'mistrl' })
  const why = async () => (await service.get('/api/v1/tasks/typo')).body?.data.waiting.explanation as string
  expect(await why()).toBe('no registered node serves mistrl')
  await service.register('n', { supported_models: ['mistral'] })
  // The names of one second are compared once.
  await until(async () => (await why()) === 'no registered node serves mistrl; perhaps mistral was meant')
})

test('a node that is not there still serves its models, and one that was forgotten does not', async () => {
  const service = await startService()
  await service.register('n', { supported_models: ['mistral'] })
  await service.post('/api/v1/nodes/heartbeat', { node_id: 'n', status: 'offline' })
  expect((await service.post('/api/v1/tasks', task({ model_name: 'mistral' }))).body?.data.warnings).toBeUndefined()
  await service.send('DELETE', '/api/v1/nodes/n')
  expect((await service.post('/api/v1/tasks', task({ model_name: 'mistral' }))).body?.data.warnings).toMatchObject([
    { code: 'no_node_for_model', did_you_mean: [] },
  ])
})

test('each entry of a batch has its own warnings, and so has the answer of a session', async () => {
  const service = await startService()
  await service.register('n', { supported_models: ['mistral'] })
  const { body } = await service.post('/api/v1/tasks/batch', {
    tasks: [task({ task_id: 'a', model_name: 'mistral' }), task({ task_id: 'b', model_name: 'mistrl' })],
  })
  expect(body?.data.results).toEqual([
    { task_id: 'a' },
    { task_id: 'b', warnings: [expect.objectContaining({ did_you_mean: ['mistral'] })] },
  ])
  const client = await connectClient(service)
  client.submit({ ref: 'good', model_name: 'mistral' })
  client.submit({ ref: 'bad', model_name: 'mistrl' })
  expect(await client.next('task.submitted', { ref: 'good' })).not.toHaveProperty('warnings')
  expect(await client.next('task.submitted', { ref: 'bad' })).toMatchObject({
    warnings: [{ code: 'no_node_for_model', did_you_mean: ['mistral'] }],
  })
})

test('however many strange names there are, of nodes and of tasks, a second compares no more than 2,000', () => {
  const core = coreHarness()
  const register = (i: number): Operation => ({
    op: 'register',
    from: [],
    node: {
      node_id: `n${i}`,
      endpoint: '',
      public_key: 'k',
      supported_models: Array.from({ length: 64 }, (_, m) => `strange-${i}-${m}`),
      performance_score: 1,
      node_address: null,
      max_concurrent_tasks: 1,
    },
  })
  core.turn(...Array.from({ length: 20 }, (_, i) => register(i)))
  const suggested = (names: string[]): number[] => {
    const submitted = core.turn({
      op: 'submit',
      tasks: names.map((model_name) => ({
        task_id: null,
        user_address: 'u',
        user_input: '',
        context: '',
        fee: 0,
        nonce: 0,
        infer_fee: 0,
        max_infer_time: 60,
        model_name,
        signed_tx: null,
        signer_public_key: null,
        is_encrypted: false,
        params: null,
        needs: 0,
      })),
    })
    const outcome = outcomeOf(submitted, 'submit')
    const each = outcome?.ok === true ? outcome.value : []
    return each.map((o) => (o.ok ? (o.value.warnings?.[0]?.did_you_mean.length ?? -1) : -2))
  }
  // 20 nodes list 1,280 names: the second strange name is compared with what is left of the 2,000, the third with none.
  expect(suggested(['strange-0-x', 'strange-0-y', 'strange-0-z', 'strange-0-x'])).toEqual([3, 3, 0, 3])
  core.passes(1000)
  expect(suggested(['strange-0-z'])).toEqual([3])
})
