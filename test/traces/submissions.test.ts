import { expect, test } from 'vitest'
import { connectClient } from '../support/client-session.js'
import { connectNode, nextAssign } from '../support/node-session.js'
import { inspect, startService, task, type Service } from '../support/service.js'
import { startAnswers } from '../support/openai-server.js'
import { createNode } from '../support/inference-node.js'
import { generate } from '../../src/inference-node/backends/generate.js'
import { until } from '../support/wait.js'

// Here no SDK is registered: what is stored and handed on is all there is.
const trace = '0af7651916cd43dd8448eb211c80319c'
const traceparent = `00-${trace}-b7ad6b7169203331-01`
const other = `00-${trace}-00f067aa0ba902b7-00`

const stored = ({ file }: Service) =>
  inspect(file, (db) =>
    Object.fromEntries(
      db
        .prepare<[], { task_id: string; traceparent: string | null }>(
          'SELECT task_id, traceparent FROM inference_tasks',
        )
        .all()
        .map((row) => [row.task_id, row.traceparent]),
    ),
  )
const headers = { traceparent }

/** Each way to submit, with a trace; gives the id of the task. */
const ways: Record<string, (service: Service, trace: Record<string, string>) => Promise<string>> = {
  'POST /api/v1/tasks': async (service, trace) => {
    const { body } = await service.post('/api/v1/tasks', task(), trace)
    return body?.data.task_id as string
  },
  'POST /api/v1/tasks/submit': async (service, trace) => {
    const { body } = await service.post('/api/v1/tasks/submit', task(), trace)
    return body?.data.task_id as string
  },
  'a field of it': (service, trace) => service.submit(trace),
  'POST /api/v1/tasks/batch': async (service, trace) => {
    const { body } = await service.post('/api/v1/tasks/batch', { tasks: [task()] }, trace)
    return body?.data.results[0].task_id as string
  },
  'a session of a submitter': async (service, trace) => {
    const client = await connectClient(service)
    client.submit(trace)
    return (await client.next('task.submitted')).task_id
  },
  'POST /v1/chat/completions': async (service, trace) => {
    const before = new Set(Object.keys(stored(service)))
    const model = 'llama-3-8b'
    const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'why?' }] })
    void fetch(`${service.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...trace },
      body,
    }).catch(() => undefined) // it is cut off with the service
    return until(() => Object.keys(stored(service)).find((id) => !before.has(id)), 'the task of the request')
  },
}

test.each(Object.entries(ways))(
  '%s: its trace is stored with the task and told to its node; what is none is ignored',
  async (_, submit) => {
    const service = await startService()
    const node = await connectNode(service, 'n1', { max_concurrent_tasks: 2 })
    const traced = await submit(service, headers)
    expect(await nextAssign(node, traced)).toMatchObject({ traceparent })
    const plain = await submit(service, { traceparent: `${traceparent}-more` })
    expect(await nextAssign(node, plain)).not.toHaveProperty('traceparent')
    expect(stored(service)).toEqual({ [traced]: traceparent, [plain]: null })
  },
)

test('a field of the wrong kind is ignored too', async () => {
  const service = await startService()
  const wrong = [7, { a: 1 }, ['x'], true, '', null]
  for (const [i, traceparent] of wrong.entries()) {
    const body = JSON.stringify(task({ task_id: `t${i}`, traceparent }))
    const headers = { 'content-type': 'application/json' }
    expect((await fetch(`${service.url}/api/v1/tasks`, { method: 'POST', headers, body })).status).toBe(200)
  }
  expect(Object.values(stored(service))).toEqual(wrong.map(() => null))
})

test('of a batch each entry may be of a trace of its own', async () => {
  const service = await startService()
  const tasks = [task({ task_id: 'own', traceparent: other }), task({ task_id: 'all' })]
  await service.post('/api/v1/tasks/batch', { tasks }, headers)
  expect(stored(service)).toEqual({ own: other, all: traceparent })
})

test('a repeat may come in another trace; the first one stays', async () => {
  const service = await startService()
  for (const said of [{}, headers, { traceparent: other }])
    expect((await service.post('/api/v1/tasks', task({ task_id: 'a' }), said)).status).toBe(200)
  expect(stored(service)).toEqual({ a: null })
  for (const said of [headers, { traceparent: other }, {}])
    expect((await service.post('/api/v1/tasks', task({ task_id: 'b' }), said)).status).toBe(200)
  expect(stored(service)).toEqual({ a: null, b: traceparent })
})

test('a node that polls is told the trace, and after a restart it is still known', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a', traceparent })
  await service.submit({ task_id: 'b', infer_fee: 1 })
  await service.stop()
  const again = await startService({ database_path: service.file })
  await again.register('n1', { max_concurrent_tasks: 2 })
  expect(await again.poll('n1', [])).toMatchObject({ task_id: 'a', traceparent })
  expect(await again.poll('n1', ['a'])).not.toHaveProperty('traceparent')
})

test('without a tracer a node hands the trace on to its model server as it came', async () => {
  const said: (string | string[] | undefined)[] = []
  const models = await startAnswers((response, { body }, request) => {
    if (body !== null) said.push(request.headers['traceparent'])
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"text":"Paris"}')
  })
  const service = await startService()
  const { node } = createNode({ coordinator: service.url, work: generate({ url: models.url }).work })
  await node.start()
  await service.reaches(await service.submit({ traceparent }), 'completed')
  await service.reaches(await service.submit(), 'completed')
  expect(said).toEqual([traceparent, undefined])
})
