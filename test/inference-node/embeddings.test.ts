import { expect, test } from 'vitest'
import { openai } from '../../src/inference-node/backends/openai.js'
import { BackendDown, FeatureMissing, WorkError } from '../../src/inference-node/index.js'
import { fakeTimers } from '../support/fake-time.js'
import { startNode } from '../support/inference-node.js'
import { json, modelServer, startAnswers, wholeStream, delta, type AnswerOf } from '../support/openai-server.js'
import { startCoordinator } from '../support/scripted-coordinator.js'

const embeddings = true
const vector = (index: number, ...embedding: number[]) => ({ object: 'embedding', index, embedding })
const vectors = (...data: object[]) => ({ object: 'list', data, usage: { prompt_tokens: 3, total_tokens: 3 } })
/** A server with a list of models, that answers calls of /embeddings as the test says. */
const serving =
  (models: string[], embed: AnswerOf): AnswerOf =>
  (response, call, request) => {
    if (call.url === '/v1/models') return json(response, 200, { data: models.map((id) => ({ id })) })
    if (call.url === '/v1/embeddings') return embed(response, call, request)
    wholeStream(response, delta('hello', 'stop'))
  }

test('a task with an input gets the vectors of it, in its order', async () => {
  const { run, asked, chunks } = await modelServer(
    (response) => json(response, 200, vectors(vector(1, 0.5, -1e-7), vector(0, 1, 2))),
    { embeddings, mapping: { 'llama-3-8b': 'nomic' } },
  )
  const params = { input: ['a', 'b'], dimensions: 2, encoding_format: 'base64', model: 'x', user: 'u' }
  expect(await run({ params })).toEqual({
    type: 'task.complete',
    task_id: 't1',
    attempt: 1,
    output: '[[1,2],[0.5,-1e-7]]',
    confidence: 1,
    usage: { prompt_tokens: 3, completion_tokens: 0 },
  })
  expect(asked).toEqual([
    { url: '/v1/embeddings', key: undefined, body: { input: ['a', 'b'], dimensions: 2, user: 'u', model: 'nomic' } },
  ])
  expect(chunks).toEqual([])
})

test.each<[unknown, number]>([
  ['one text', 1],
  [['one'], 1],
  [[1, 2, 3], 1], // tokens of one text
  [
    [
      [1, 2],
      [3, 4],
    ],
    2,
  ],
])('an input of %j wants %i vectors, and other numbers of them are no answer', async (input, wanted) => {
  let given = wanted
  const { run } = await modelServer(
    (response) => json(response, 200, vectors(...Array.from({ length: given }, (_, i) => vector(i, i)))),
    { embeddings },
  )
  const found = await run({ params: { input } })
  expect(JSON.parse('output' in found ? found.output : '')).toHaveLength(wanted)
  given++
  await expect(run({ params: { input } })).rejects.toThrow('other vectors than it was asked for')
})

test('vectors that name the same place twice, or one that is far away, are no answer', async () => {
  const answers = [vectors(vector(0, 1), vector(0, 2)), vectors(vector(0, 1), vector(4_294_967_294, 2))]
  const { run } = await modelServer((response) => json(response, 200, answers.shift()), { embeddings })
  await expect(run({ params: { input: ['a', 'b'] } })).rejects.toBeInstanceOf(WorkError)
  await expect(run({ params: { input: ['a', 'b'] } })).rejects.toBeInstanceOf(WorkError)
})

test('vectors that do not fit the wire are too large on every node', async () => {
  const { run } = await modelServer(
    (response) => json(response, 200, vectors(vector(0, ...Array.from({ length: 100 }, () => 0.25)))),
    { embeddings },
  )
  expect(await run({ params: { input: 'a' } }, undefined, 400).catch((e: unknown) => e)).toMatchObject({
    code: 'too_large',
    retryable: false,
  })
})

test('a server without the route, or a model that makes none, fails the task; only the whole server makes the node look', async () => {
  const answers: [number, unknown][] = [
    [404, '404 page not found'],
    [501, { error: { code: 501, message: 'This server does not support embeddings.' } }],
    [404, { error: { message: 'model "x" not found' } }],
    [400, { error: { message: 'this model does not support embeddings' } }],
  ]
  for (const [status, body] of answers) {
    const { run } = await modelServer((response) => json(response, status, body), { embeddings })
    const error: unknown = await run({ params: { input: 'a' } }).catch((e: unknown) => e)
    expect(error).toMatchObject({ name: status === 400 ? 'WorkError' : 'FeatureMissing', retryable: true })
    expect(error).toBeInstanceOf(WorkError)
    expect(error).not.toBeInstanceOf(BackendDown)
  }
  const { run, stop } = await modelServer(() => undefined, { embeddings })
  await stop()
  await expect(run({ params: { input: 'a' } })).rejects.toBeInstanceOf(BackendDown)
})

test('a backend says what it understands: embeddings only when asked to, tools and images unless told not to', () => {
  expect(openai().features).toEqual(['params', 'tools', 'images'])
  expect(openai({ embeddings, tools: false, images: false }).features).toEqual(['params', 'embeddings'])
})

test('embeddings are offered once the server has shown that it makes them, which it is asked for once', async () => {
  const tried: unknown[] = []
  let able = false
  const { url } = await startAnswers(
    serving(['chatty', 'chatty-2', 'nomic-embed-text'], (response, { body }) => {
      tried.push((body as { model: string }).model)
      if (able) json(response, 200, vectors(vector(0, 1)))
      else json(response, 501, { error: { message: 'start it with --embeddings' } })
    }),
  )
  const { check } = openai({ baseUrl: url, embeddings })
  const without = await check(undefined, [])
  expect(without).toMatchObject({
    models: ['chatty', 'chatty-2', 'nomic-embed-text'],
    features: ['params', 'tools', 'images'],
    problem: expect.stringMatching(/^embeddings are not offered: .*\(501\)$/) as string,
  })
  expect(tried.splice(0)).toEqual(['nomic-embed-text', 'chatty', 'chatty-2'])
  able = true
  const offer = await check(undefined, [])
  expect(offer).toMatchObject({ features: ['params', 'tools', 'images', 'embeddings'] })
  expect(offer?.problem).toBeUndefined()
  await check(undefined, [])
  expect(tried).toEqual(['nomic-embed-text'])
})

test('a node whose server comes to make embeddings, or does no more, says a new hello and goes on with what it does', async () => {
  let able = false
  const { url } = await startAnswers(
    serving(['llama-3-8b'], (response) => {
      if (able) json(response, 200, vectors(vector(0, 1)))
      else json(response, 501, { error: { message: 'not supported' } })
    }),
  )
  const backend = openai({ baseUrl: url, embeddings })
  const coordinator = await startCoordinator()
  const timers = fakeTimers()
  const { event } = await startNode({
    coordinator: coordinator.url,
    work: backend.work,
    features: backend.features,
    check: backend.check,
  })
  const first = await coordinator.welcomed()
  expect(first.greeting.features).toEqual(['params', 'tools', 'images'])
  first.assign({ task_id: 'vectors', params: { input: 'a' } })
  expect(await first.expect('task.reject')).toMatchObject({
    task_id: 'vectors',
    reason: 'the node does not understand embeddings',
  })
  able = true
  await timers.pass(30)
  const renewed = async () => {
    expect(await event('disconnected')).toMatchObject({ renewal: true, reason: 'the features have changed' })
    await timers.pass(5)
    return coordinator.welcomed()
  }
  const second = await renewed()
  expect(second.greeting.features).toEqual(['params', 'tools', 'images', 'embeddings'])
  second.assign({ task_id: 'vectors', params: { input: 'a' } })
  expect(await second.expect('task.complete')).toMatchObject({ output: '[[1]]' })
  second.settle({ task_id: 'vectors', attempt: 1 })
  able = false
  second.assign({ task_id: 'more', params: { input: 'a' } })
  expect(await second.expect('task.fail')).toMatchObject({ task_id: 'more', retryable: true })
  const third = await renewed()
  expect(third.greeting.features).toEqual(['params', 'tools', 'images'])
  third.assign({ task_id: 'words' })
  expect(await third.expect('task.complete')).toMatchObject({ task_id: 'words', output: 'hello' })
})

test('work that lacks what its task needs makes the node look again, and fails as other work does', async () => {
  let looks = 0
  const coordinator = await startCoordinator()
  await startNode({
    coordinator: coordinator.url,
    features: ['params'],
    work: () => Promise.reject(new FeatureMissing('no such thing')),
    check: () => void looks++,
  })
  const session = await coordinator.welcomed()
  session.assign({ params: { temperature: 1 } })
  expect(await session.expect('task.fail')).toMatchObject({ error: 'no such thing', retryable: true })
  expect(looks).toBe(2)
})
