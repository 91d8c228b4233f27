import { expect, test } from 'vitest'
import { openai } from '../../src/inference-node/backends/index.js'
import { BackendDown } from '../../src/inference-node/index.js'
import { startHttp } from '../support/http-server.js'
import { startModels, type FakeModels } from '../support/model-server.js'

const signal = new AbortController().signal

/** A backend over a fake server, and what it found good to know. */
async function backendOver(given: Partial<FakeModels> & { served: string[] }, path = '/v1', mapping = {}) {
  const server = await startModels(given)
  const notices: string[] = []
  const backend = openai({ baseUrl: `${server.url}${path}`, mapping, onNotice: (text) => notices.push(text) })
  return { ...server, backend, notices, check: (...wanted: string[]) => backend.check(signal, wanted) }
}

test('what is wanted and not there is named, and the rest is offered', async () => {
  const { check, notices } = await backendOver({ served: ['llama3:8b', 'qwen2:7b'] })
  expect(await check('qwen2:7b', 'llama-3-8b')).toEqual({
    models: ['qwen2:7b'],
    problem: 'the server has no llama-3-8b; it lists llama3:8b, qwen2:7b: use --model qwen2:7b,llama-3-8b=llama3:8b',
  })
  expect(await check('qwen2:7b')).toEqual({ models: ['qwen2:7b'], problem: undefined })
  expect(await check()).toEqual({ models: ['llama3:8b', 'qwen2:7b'], problem: undefined })
  expect(notices).toEqual([])
})

test('a URL without /v1 is mended where the API is there, and said once', async () => {
  const { check, backend, url, notices, asked } = await backendOver({ served: ['a'] }, '/')
  for (let i = 0; i < 2; i++) expect(await check('a')).toMatchObject({ models: ['a'] })
  expect(notices).toEqual([`the API is not at ${url}/ but at ${url}/v1, which is used; set it as base_url`])
  const task = { task_id: 't', attempt: 1, model_name: 'A', model_type: 'unknown', own_model: 'a', user_input: 'x' }
  const stream = await backend.work({ ...task, context: '', max_infer_time: 60, infer_fee: 0 }, signal)
  for await (const text of stream as AsyncIterable<string>) expect(text).toBe('a')
  expect(asked).toEqual(['a'])
})

test('a page for people at every path is no list of models', async () => {
  const { url } = await startHttp((request, response) => {
    if (request.url === '/v1/models') return void response.end('[{"id":"a"}]') // some list without an envelope
    response.writeHead(request.method === 'GET' ? 200 : 405, { 'content-type': 'text/html' }).end('<html>')
  })
  expect(await openai({ baseUrl: url }).check(signal, ['a'])).toMatchObject({ models: ['a'] })
  await expect(openai({ baseUrl: `${url}/ui/v1` }).check(signal, ['a'])).rejects.toThrow(
    `the model server at ${url}/ui/v1 has neither /models nor /chat/completions there: is base_url right?`,
  )
})

test('a server that lists nothing has each model tried with one word, and those that answered not again', async () => {
  for (const path of ['', '/v1']) {
    const { check, state, asked, notices } = await backendOver({ listed: null, served: ['a', 'B'] }, path, { b: 'B' })
    expect(await check('a', 'b', 'c')).toEqual({
      models: ['a', 'b'],
      problem: expect.stringContaining('the server has no c, and lists none') as string,
    })
    expect(asked).toEqual(['a: 1', 'B: 1', 'c: 1'])
    state.served.push('c')
    expect(await check('a', 'b', 'c')).toEqual({ models: ['a', 'b', 'c'], problem: undefined })
    expect(asked.slice(3)).toEqual(['c: 1'])
    expect(notices.filter((n) => n.includes('tried with one word'))).toHaveLength(1)
    await expect(check()).rejects.toThrow('does not list its models: name those to serve with --model')
  }
})

test('a model that cannot be tried is not offered, and a server that cannot be asked is down', async () => {
  let status = 500
  const { url } = await startHttp((request, response) => {
    response.writeHead(request.method === 'GET' ? 404 : status).end('{"error":{"message":"out of memory"}}')
  })
  const backend = openai({ baseUrl: `${url}/v1` })
  expect(await backend.check(signal, ['a'])).toEqual({
    models: [],
    problem: `a was tried, for the server lists no models: the model server at ${url}/v1 answers 500`,
  })
  status = 401
  await expect(backend.check(signal, ['a'])).rejects.toBeInstanceOf(BackendDown)
})

test('a list of ten thousand strange entries is read, and a longer one than can be is not', async () => {
  const strange = [7, null, {}, '', 'bad\u0001', 'x'.repeat(500), '\ud800', '__proto__', 'constructor']
  const listed = [...Array(10_000).keys()].map((i) => `model-${i}-${'x'.repeat(80)}`)
  const { check, state, notices } = await backendOver({ served: [], listed: [...strange, ...listed, 'llama3:8b'] })
  expect(await check('llama3:8b', '__proto__')).toEqual({ models: ['llama3:8b', '__proto__'], problem: undefined })
  const all = await check()
  expect(all?.models).toHaveLength(64)
  expect(all?.models).toContain('constructor')
  expect(notices).toEqual(['the server lists more than 64 models; the first are offered: name others with --model'])
  state.listed = ['x'.repeat(9 * 1024 * 1024)]
  await expect(check('a')).rejects.toThrow('answers more than 8388608 bytes')
})

test('a list without an end is not read without an end', async () => {
  const { url } = await startHttp((_, response) => {
    const more = (): void =>
      void (response.destroyed || response.write(' '.repeat(1_000_000), () => setImmediate(more)))
    more()
  })
  await expect(openai({ baseUrl: `${url}/v1` }).check(signal, ['a'])).rejects.toThrow('answers more than')
})
