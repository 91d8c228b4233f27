import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { messagesOf } from '../../src/inference-node/backends/prompt.js'
import { openai } from '../../src/inference-node/backends/openai.js'
import { BackendDown, ModelMissing, WorkError } from '../../src/inference-node/index.js'
import { delta, events, json, modelServer, plainTask as task } from '../support/openai-server.js'
import { deferred } from '../support/wait.js'

test('a stream is passed on piece by piece, with the usage at its end', async () => {
  const { run, asked, chunks } = await modelServer(
    (response) => {
      events(
        response,
        { choices: [{ delta: { role: 'assistant' } }] },
        delta('be'),
        delta('cause', 'stop'),
        { choices: [], usage: { prompt_tokens: 5, completion_tokens: 2 } },
        '[DONE]',
      )
      response.end()
    },
    { apiKey: 'k', mapping: { 'llama-3-8b': 'llama3:8b' } },
  )
  expect(await run({ context: 'be brief' })).toMatchObject({
    output: 'because',
    usage: { prompt_tokens: 5, completion_tokens: 2 },
  })
  expect(chunks).toEqual(['be', 'cause'])
  expect(asked).toEqual([
    {
      url: '/v1/chat/completions',
      key: 'Bearer k',
      body: {
        model: 'llama3:8b',
        messages: [
          { role: 'system', content: 'be brief' },
          { role: 'user', content: 'why?' },
        ],
        stream: true,
        stream_options: { include_usage: true },
      },
    },
  ])
})

test('pieces cut anywhere, comments and other line ends are read all the same', async () => {
  const { run } = await modelServer((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    const bytes = Buffer.from(
      `: ping\r\n\r\ndata: ${JSON.stringify(delta('grüße 😀'))}\r\n\r\ndata: ${JSON.stringify(delta('', 'length'))}\r\n\r\n`,
    )
    const send = (at: number): void => {
      if (at >= bytes.length) return void response.end()
      response.write(bytes.subarray(at, at + 3), () => send(at + 3))
    }
    send(0)
  })
  expect((await run()).type === 'task.complete' && (await run())).toMatchObject({ output: 'grüße 😀' })
})

test('a context of earlier messages becomes those messages; any other is the system message', () => {
  const earlier = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
  ]
  expect(messagesOf({ ...task, context: JSON.stringify(earlier) })).toEqual([
    ...earlier,
    { role: 'user', content: 'why?' },
  ])
  for (const context of ['[1, 2]', '[not json', 'text', '[{"role":"root","content":"x"}]']) {
    expect(messagesOf({ ...task, context })).toEqual([
      { role: 'system', content: context },
      { role: 'user', content: 'why?' },
    ])
  }
  expect(messagesOf(task)).toEqual([{ role: 'user', content: 'why?' }])
})

test('an answer that is no stream is taken too', async () => {
  const { run } = await modelServer((response) =>
    json(response, 200, {
      choices: [{ message: { role: 'assistant', content: 'whole' } }],
      usage: { prompt_tokens: 1, completion_tokens: 'wrong' },
    }),
  )
  const result = await run()
  expect(result).toMatchObject({ output: 'whole' })
  expect(result).not.toHaveProperty('usage')
})

test('a stream that ends without an end died in the middle', async () => {
  const { run } = await modelServer((response) => {
    events(response, delta('half'))
    response.end()
  })
  await expect(run()).rejects.toThrow('ended its answer in the middle')
})

test('a connection that is cut in the middle fails the task and not the backend', async () => {
  const { run } = await modelServer((response) => {
    events(response, delta('half'))
    response.write('data: ', () => response.destroy())
  })
  const error: unknown = await run().catch((e: unknown) => e)
  expect(error).toBeInstanceOf(WorkError)
  expect(error).not.toBeInstanceOf(BackendDown)
})

test('an error in the middle of a stream, garbage and wrong JSON fail the task', async () => {
  const answers: ((response: ServerResponse) => void)[] = [
    (r) => events(r, delta('x'), { error: { message: 'out of memory' } }),
    (r) => events(r, '{"choices":'),
    (r) => events(r, { choices: 7 }),
    (r) => json(r, 200, { choices: [] }),
    (r) => void r.writeHead(200, { 'content-type': 'text/html' }).write('<html>'.repeat(1000)),
  ]
  for (const answer of answers) {
    const { run } = await modelServer((response) => {
      answer(response)
      response.end()
    })
    await expect(run()).rejects.toBeInstanceOf(WorkError)
  }
})

test('a line without end is not read without end', async () => {
  const { run } = await modelServer((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const more = (): void => {
      if (!response.destroyed) response.write('x'.repeat(1_000_000), () => setImmediate(more))
    }
    more()
  })
  await expect(run()).rejects.toThrow('too long')
})

test('an output without end is not read without end', async () => {
  const closed = deferred()
  const { run } = await modelServer((response) => {
    response.on('close', () => closed.resolve())
    events(response)
    const more = (): void => {
      if (!response.destroyed)
        response.write(`data: ${JSON.stringify(delta('y'.repeat(100_000)))}\n\n`, () => setImmediate(more))
    }
    more()
  })
  await expect(run()).rejects.toThrow('too large')
  await closed.promise
})

test('a server that hangs before or in its answer fails the task after the stall timeout', async () => {
  const before = await modelServer(() => undefined, { stallTimeout: 0.05 })
  await expect(before.run()).rejects.toThrow('hangs: no byte for 0.05 s')
  const during = await modelServer((response) => events(response, delta('x')), { stallTimeout: 0.1 })
  await expect(during.run()).rejects.toThrow('hangs: no byte for 0.1 s')
})

test('a cancelled task ends the call', async () => {
  const began = deferred()
  const closed = deferred()
  const { run } = await modelServer((response) => {
    response.on('close', () => closed.resolve())
    events(response, delta('x'))
    began.resolve()
  })
  const abort = new AbortController()
  const running = run({}, abort.signal)
  await began.promise
  abort.abort(new Error('cancelled'))
  await expect(running).rejects.toThrow('cancelled')
  await closed.promise
})

test.each([401, 403, 404, 429, 503])('an answer %i is about the backend', async (status) => {
  const { run } = await modelServer((response) => json(response, status, { error: { message: 'secret key sk-123' } }))
  const error = await run().catch((e: unknown) => e)
  expect(error).toBeInstanceOf(BackendDown)
  expect((error as BackendDown).message).toContain(`answers ${status}`)
  expect((error as BackendDown).message).not.toContain('sk-123')
})

test.each([400, 422, 500])('an answer %i is about the task, and what the server says goes along', async (status) => {
  const { run } = await modelServer((response) =>
    json(response, status, { error: { message: 'the prompt is too long' } }),
  )
  const error = await run().catch((e: unknown) => e)
  expect(error).not.toBeInstanceOf(BackendDown)
  expect(error).toMatchObject({ detail: 'the prompt is too long', retryable: true })
})

test.each<[string, number, unknown]>([
  ['Ollama', 404, { error: { message: 'model "x" not found, try pulling it first', type: 'api_error', code: null } }],
  ['vLLM', 404, { object: 'error', message: 'The model `x` does not exist.', type: 'NotFoundError', code: 404 }],
  ['LM Studio', 400, { error: { message: 'No models loaded.', type: 'invalid', code: 'model_not_found' } }],
  ['others', 404, { error: 'no such model: x' }],
])('%s says in its own way that it does not have a model', async (_, status, body) => {
  const { run, url } = await modelServer((response) => json(response, status, body))
  const error: unknown = await run({ own_model: 'x' }).catch((e: unknown) => e)
  expect(error).toBeInstanceOf(ModelMissing)
  expect(error).toMatchObject({ message: `the model server at ${url}/v1 has no x`, retryable: true })
})

test.each<[number, string]>([
  [400, '{"error":{"message":"cannot answer: model llama-3-8b not found"}}'], // it may quote the prompt
  [404, '404 page not found'],
  [404, '<html>There is no model here</html>'],
  [404, '{"detail":"Not Found"}'],
])('an answer %i with %s does not say that a model is missing', async (status, body) => {
  const { run } = await modelServer((response) => void response.writeHead(status).end(body))
  const error: unknown = await run().catch((e: unknown) => e)
  expect(error).toBeInstanceOf(WorkError)
  expect(error).not.toBeInstanceOf(ModelMissing)
})

test('a server that does not know stream_options is asked without, from then on', async () => {
  const { run, asked } = await modelServer((response, { body }) => {
    if (JSON.stringify(body).includes('stream_options'))
      return json(response, 400, { error: 'unknown field stream_options' })
    events(response, delta('ok', 'stop'), '[DONE]')
    response.end()
  })
  expect(await run()).toMatchObject({ output: 'ok' })
  await run()
  expect(asked).toHaveLength(3)
})

test('a server that is not there, or resets before it answers, is down', async () => {
  const { run, backend, stop } = await modelServer((response) => response.socket?.resetAndDestroy())
  await expect(run()).rejects.toBeInstanceOf(BackendDown)
  await stop()
  await expect(run()).rejects.toBeInstanceOf(BackendDown)
  await expect(backend.check()).rejects.toThrow(/cannot be reached \(ECONNREFUSED\)/)
  const nowhere = openai({ baseUrl: 'http://nowhere.invalid/v1' })
  await expect(nowhere.check()).rejects.toBeInstanceOf(BackendDown)
})

test('a check asks for the models; a server without that list is up', async () => {
  let status = 200
  const { backend } = await modelServer((response) => json(response, status, { data: [{ id: 'a' }, { id: 'b' }] }))
  await backend.check()
  expect(await backend.models?.()).toEqual(['a', 'b'])
  status = 404
  await backend.check()
  status = 503
  await expect(backend.check()).rejects.toBeInstanceOf(BackendDown)
})
