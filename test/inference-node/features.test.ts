import { expect, test } from 'vitest'
import { openai } from '../../src/inference-node/backends/openai.js'
import { startNode } from '../support/inference-node.js'
import { delta, deltaOf, events, json, modelServer, startAnswers, wholeStream } from '../support/openai-server.js'
import { startService } from '../support/service.js'
import { until } from '../support/wait.js'

const messages = [{ role: 'user', content: [{ type: 'text', text: 'and now?' }] }]

test('a task with parameters goes past a node that does not understand them to one that does, whole', async () => {
  const service = await startService()
  const plain = await startNode({ coordinator: service.url, nodeId: 'plain', maxConcurrentTasks: 4 })
  await plain.event('connected')
  await service.submit({ task_id: 'words' })
  expect(await service.reaches('words', 'completed')).toMatchObject({ result: { inference_node_id: 'plain' } })

  const params = { messages, temperature: 0, seed: 7, of_tomorrow: [null] }
  await service.submit({ task_id: 'with-params', params })
  expect((await service.get('/api/v1/tasks/with-params')).body?.data).toMatchObject({
    status: 'pending',
    waiting: { reason: 'needs_feature' },
  })

  const call = { id: 'c', type: 'function', function: { name: 'look', arguments: '{}' } }
  const { backend, asked } = await modelServer((response) =>
    wholeStream(
      response,
      deltaOf({ reasoning_content: 'hm' }),
      delta('Yes'),
      deltaOf({ tool_calls: [{ index: 0, ...call }] }, 'tool_calls'),
      { choices: [], usage: { prompt_tokens: 3, completion_tokens: 2 } },
    ),
  )
  const { work, features } = backend
  const able = await startNode({ coordinator: service.url, nodeId: 'able', work, features })
  await able.event('connected')
  expect(await service.reaches('with-params', 'completed')).toMatchObject({
    attempts: 1,
    result: {
      inference_node_id: 'able',
      output: 'Yes',
      reasoning: 'hm',
      finish_reason: 'tool_calls',
      tool_calls: [call],
      usage: { prompt_tokens: 3, completion_tokens: 2 },
    },
  })
  expect(asked[0]?.body).toMatchObject({ ...params, model: 'llama-3-8b', stream: true })
  expect(plain.events.filter((e) => e.type === 'assigned')).toHaveLength(1)
})

test('a context that is too long fails its task at the first node, and says so', async () => {
  const service = await startService()
  const { backend } = await modelServer((response) =>
    json(response, 400, { error: { message: "This model's maximum context length is 4096 tokens." } }),
  )
  for (const nodeId of ['a', 'b']) {
    const { event } = await startNode({
      coordinator: service.url,
      nodeId,
      work: backend.work,
      features: backend.features,
    })
    await event('connected')
  }
  await service.submit({ task_id: 't', params: { max_tokens: 5 } })
  const task: unknown = await service.reaches('t', 'failed')
  expect(task).toMatchObject({ attempts: 1, error: expect.stringContaining('maximum context length') as string })
})

test('embeddings go to the node whose server makes them, and come back as vectors', async () => {
  const service = await startService()
  const { url } = await startAnswers((response, { url: path, body }) => {
    if (path === '/v1/models') return json(response, 200, { data: [{ id: 'llama-3-8b' }] })
    const { input } = body as { input: string | string[] }
    json(response, 200, {
      data: [input].flat().map((text, index) => ({ index, embedding: [text.length] })),
      usage: { prompt_tokens: 2, total_tokens: 2 },
    })
  })
  for (const embeddings of [false, true]) {
    const { work, features, check } = openai({ baseUrl: `${url}/v1`, embeddings })
    const nodeId = embeddings ? 'embeds' : 'chats'
    const { event } = await startNode({ coordinator: service.url, nodeId, work, features, check })
    await event('connected')
  }
  await service.submit({ task_id: 'v', user_input: 'a', params: { input: ['a', 'bcd'] } })
  expect(await service.reaches('v', 'completed')).toMatchObject({
    result: { inference_node_id: 'embeds', output: '[[1],[3]]', usage: { prompt_tokens: 2, completion_tokens: 0 } },
  })
})

test('a node that is told to stop a task with parameters ends the call to its server', async () => {
  const service = await startService()
  let closed = false
  const { backend, asked } = await modelServer((response) => {
    response.on('close', () => (closed = true))
    events(response, delta('x'))
  })
  const { event } = await startNode({ coordinator: service.url, work: backend.work, features: backend.features })
  await event('connected')
  await service.submit({ task_id: 't', params: { seed: 1 } })
  await until(() => asked.length > 0, 'the call')
  await service.post('/api/v1/tasks/t/cancel', {})
  await until(() => closed, 'the end of the call')
})
