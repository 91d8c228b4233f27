import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import { expect, test } from 'vitest'
import { openai } from '../../src/inference-node/backends/openai.js'
import { createTraces } from '../../src/traces/traces.js'
import { connectClient } from '../support/client-session.js'
import { createNode } from '../support/inference-node.js'
import { connectNode, nextAssign, nextSettled } from '../support/node-session.js'
import { delta, json, startAnswers, wholeStream } from '../support/openai-server.js'
import { startService, task } from '../support/service.js'
import { beginTrace, headerOf, msOf } from '../support/tracing.js'
import { until } from '../support/wait.js'

const SECRETS = /France|Paris|ST1PQ|secret/

test('a task is one trace, with each attempt of it, its node and the calls of its model server', async () => {
  const calls: (string | string[] | undefined)[] = []
  const models = await startAnswers((response, { url }, request) => {
    if (!url.endsWith('/chat/completions')) return json(response, 200, { data: [{ id: 'llama-3-8b' }] })
    calls.push(request.headers['traceparent'])
    if (calls.length === 1) return json(response, 500, { error: { message: 'secret: capital of France?' } })
    const usage = { prompt_tokens: 7, completion_tokens: 2 }
    return wholeStream(response, delta('Paris'), delta('!', 'stop'), { choices: [], usage })
  })
  const service = await startService()
  // What one has failed the other gets at once.
  const nodes = ['n1', 'n2'].map((nodeId) =>
    createNode({ coordinator: service.url, nodeId, ...openai({ baseUrl: `${models.url}/v1` }) }),
  )
  const submitter = beginTrace()
  await service.post('/api/v1/tasks', task({ task_id: 'a' }), { traceparent: submitter.traceparent })
  await Promise.all(nodes.map(({ node }) => node.start()))
  await service.reaches('a', 'completed')

  const whole = await submitter.span('task')
  await until(() => submitter.spans().length === 7, 'all spans')
  const named = (name: string) => submitter.spans().filter((span) => span.name === name)
  const [[first], [second], waits, [tried], [done]] = [
    named('attempt 1'),
    named('attempt 2'),
    named('wait'),
    named('inference attempt 1'),
    named('inference attempt 2'),
  ]
  if (first === undefined || second === undefined || tried === undefined || done === undefined)
    throw new Error(
      `there are only ${submitter
        .spans()
        .map((s) => s.name)
        .join(', ')}`,
    )

  // What is in what.
  const above = submitter.spans().map(({ name, parentSpanContext }) => [name, parentSpanContext?.spanId])
  const inTask = whole.spanContext().spanId
  expect(new Map(above as [string, string][])).toEqual(
    new Map([
      ['task', submitter.spanId],
      ['wait', inTask],
      ['attempt 1', inTask],
      ['attempt 2', inTask],
      ['inference attempt 1', submitter.spanId],
      ['inference attempt 2', submitter.spanId],
    ]),
  )
  expect(calls).toEqual([headerOf(tried.spanContext()), headerOf(done.spanContext())])
  expect(first.links).toEqual([])
  expect(second.links.map((link) => link.context.spanId)).toEqual([first.spanContext().spanId])

  // What they say.
  const model = { 'gen_ai.request.model': 'llama-3-8b' }
  const { created_ms, attempts } = (await service.get('/api/v1/tasks/a')).body?.data // prettier-ignore
  const ofAttempt = (n: 1 | 2) => ({ ...model, 'inference.attempt': n, 'inference.node_id': attempts[n - 1].node_id })
  const usage = { 'gen_ai.usage.input_tokens': 7, 'gen_ai.usage.output_tokens': 2 }
  expect([whole.kind, whole.status.code, whole.attributes]).toEqual([
    SpanKind.PRODUCER,
    SpanStatusCode.UNSET,
    { ...model, 'inference.task_id': 'a', 'inference.status': 'completed' },
  ])
  expect([first.kind, first.status, first.attributes]).toEqual([
    SpanKind.CONSUMER,
    { code: SpanStatusCode.ERROR },
    { ...ofAttempt(1), 'inference.end': 'failed', 'inference.fault': 'node' },
  ])
  expect([second.kind, second.status.code, second.attributes]).toEqual([
    SpanKind.CONSUMER,
    SpanStatusCode.UNSET,
    { ...ofAttempt(2), 'inference.end': 'completed', ...usage },
  ])
  const ofWork = { ...model, 'inference.task_id': 'a' }
  expect([tried.kind, tried.status, tried.attributes]).toEqual([
    SpanKind.CONSUMER,
    { code: SpanStatusCode.ERROR },
    { ...ofWork, 'inference.attempt': 1, 'inference.end': 'failed' },
  ])
  expect(done.attributes).toEqual({ ...ofWork, 'inference.attempt': 2, 'inference.end': 'completed', ...usage })

  // When it was.
  const times = [...waits, first, second].map((span) => [msOf(span.startTime), msOf(span.endTime)])
  expect(times).toEqual([
    [created_ms, attempts[0].assigned_ms],
    [attempts[0].ended_ms, attempts[1].assigned_ms],
    [attempts[0].assigned_ms, attempts[0].ended_ms],
    [attempts[1].assigned_ms, attempts[1].ended_ms],
  ])
  expect([msOf(whole.startTime), msOf(whole.endTime)]).toEqual([created_ms, attempts[1].ended_ms])
  expect(second.events.map((event) => [event.name, msOf(event.time)])).toEqual([
    ['offered', attempts[1].assigned_ms],
    ['accepted', attempts[1].accepted_ms],
    // Its text may be too short to come in pieces.
    ...(attempts[1].first_word_ms === null ? [] : [['first word', attempts[1].first_word_ms]]),
  ])
  const all = submitter.spans().map(({ name, attributes, events, status, links, resource }) => ({ name, attributes, events, status, links, of: resource.attributes })) // prettier-ignore
  expect(JSON.stringify(all)).not.toMatch(SECRETS)
})

test('of a session, with the first word where somebody reads it', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n1')
  const client = await connectClient(service)
  const { traceparent, span } = beginTrace()
  client.submit({ task_id: 'a', traceparent, watch: 'output' })
  const a = await nextAssign(node, 'a')
  expect(a).toMatchObject({ traceparent })
  node.accept(a)
  node.say({ type: 'task.output', task_id: 'a', attempt: 1, seq: 0, delta: 'Pa' })
  await client.next('task.output')
  node.complete(a)
  expect((await span('attempt 1')).events.map((event) => event.name)).toEqual(['offered', 'accepted', 'first word'])
})

test('a task that nobody has worked on has waited; one that is opened again is told once more', async () => {
  const service = await startService()
  const { traceparent, spans, span } = beginTrace()
  await service.submit({ task_id: 'a', traceparent })
  await service.post('/api/v1/tasks/a/cancel', {})
  expect((await span('task')).attributes).toMatchObject({ 'inference.status': 'failed' })
  expect(spans().map(({ name }) => name)).toEqual(['wait', 'task'])

  const node = await connectNode(service, 'n1')
  await service.post('/api/v1/tasks/a/retry', {})
  node.complete(await nextAssign(node, 'a'))
  await nextSettled(node, 'a')
  await until(() => spans().length === 5, 'the spans of the second time')
  const [ended, waited, worked, again] = spans().slice(1)
  expect([waited, worked, again].map((s) => s?.name)).toEqual(['wait', 'attempt 1', 'task'])
  expect(msOf(again?.startTime ?? [0, 0])).toBeGreaterThanOrEqual(msOf(ended?.endTime ?? [0, 0]))
  expect(again?.attributes).toMatchObject({ 'inference.status': 'completed' })
})

test('what is not sampled, and what is of no trace, is not told', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n1', { max_concurrent_tasks: 3 })
  const [unsampled, sampled] = [beginTrace('00'), beginTrace()]
  await service.submit({ task_id: 'a', traceparent: unsampled.traceparent })
  await service.submit({ task_id: 'b' })
  await service.submit({ task_id: 'c', traceparent: sampled.traceparent })
  for (const id of ['a', 'b', 'c']) node.complete(await nextAssign(node, id))
  await sampled.span('task') // they are told in order
  expect(unsampled.spans()).toEqual([])
})

test('more than can be told is left out, and counted', async () => {
  const warnings: unknown[] = []
  const traces = createTraces({
    call: () => new Promise(() => undefined),
    log: { info: () => undefined, warn: (fields: unknown) => void warnings.push(fields) },
  })
  await traces.start()
  const ends = (n: number) => Array.from({ length: n }, (_, i) => ({ task_id: String(i), ended_ms: 0 }))
  traces.ended(ends(1))
  traces.ended(ends(10_000))
  expect(traces.left()).toBe(0)
  traces.ended(ends(3))
  traces.ended(ends(4))
  expect(traces.left()).toBe(7)
  expect(warnings).toMatchObject([{ event: 'traces.dropped' }])
})
