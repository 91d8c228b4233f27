import type OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { connectNode, nextAssign } from '../support/node-session.js'
import { answeringNode, clientOf, FEATURES, startAsked } from '../support/openai.js'
import { openEvents } from '../support/event-source.js'
import { until } from '../support/wait.js'

const question = [{ role: 'user' as const, content: 'What is the capital of France?' }]
const ask = { model: 'llama-3-8b', messages: question }

describe('a chat', () => {
  test('is answered whole, by any node when it is plain, and is an ordinary task', async () => {
    const service = await startAsked()
    const node = await connectNode(service, 'old node')
    const { data, response } = await (async () => {
      const answer = clientOf(service)
        .chat.completions.create({ ...ask, messages: [{ role: 'system', content: 'Be short.' }, ...question] })
        .withResponse()
      const a = await node.next('task.assign')
      expect(a).toMatchObject({ user_input: question[0]?.content, context: 'Be short.' })
      expect(a.params).toBeUndefined()
      node.say({
        type: 'task.complete',
        task_id: a.task_id,
        attempt: 1,
        output: 'Paris',
        confidence: 1,
        usage: { prompt_tokens: 9, completion_tokens: 1 },
      })
      return answer
    })()
    const taskId = response.headers.get('x-task-id')
    expect(data).toMatchObject({
      id: `chatcmpl-${taskId}`,
      object: 'chat.completion',
      model: 'llama-3-8b',
      choices: [{ index: 0, message: { role: 'assistant', content: 'Paris' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 9, completion_tokens: 1, total_tokens: 10 },
    })
    expect(await service.status(taskId ?? '')).toMatchObject({
      status: 'completed',
      user_address: 'anonymous',
      max_infer_time: 300,
    })
  })

  test('with parameters goes to nodes that understand them, whole', async () => {
    const service = await startAsked()
    const old = await connectNode(service, 'old node')
    const { given } = await answeringNode(service, 'new node', () => ({ pieces: ['Paris'], finish_reason: 'length' }))
    const answer = await clientOf(service).chat.completions.create({
      ...ask,
      temperature: 0.5,
      max_tokens: 1,
      seed: 7,
      response_format: { type: 'json_object' },
    })
    expect(answer.choices[0]).toMatchObject({ message: { content: 'Paris' }, finish_reason: 'length' })
    expect(given[0]?.params).toEqual({
      messages: question,
      temperature: 0.5,
      max_tokens: 1,
      seed: 7,
      response_format: { type: 'json_object' },
    })
    expect(old.inbox.filter((m) => m.type === 'task.assign')).toEqual([])
  })

  test('comes in pieces as they are made, with the role first, the end last, and the usage where it is wanted', async () => {
    const service = await startAsked()
    await answeringNode(service, 'n', () => ({
      pieces: ['Pa', 'ris'],
      usage: { prompt_tokens: 9, completion_tokens: 2 },
    }))
    const stream = await clientOf(service).chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    })
    const chunks = []
    for await (const chunk of stream) chunks.push(chunk)
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '' })
    expect(chunks.map((c) => c.choices[0]?.delta.content ?? '').join('')).toBe('Paris')
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop')
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 11 } })
  })

  test('calls tools, whole and in pieces', async () => {
    const service = await startAsked()
    const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Paris"}' } }
    const { given } = await answeringNode(service, 'n', () => ({
      output: '',
      tool_calls: [call],
      finish_reason: 'tool_calls',
    }))
    const tools = [{ type: 'function' as const, function: { name: 'weather', parameters: {} } }]
    const whole = await clientOf(service).chat.completions.create({ ...ask, tools })
    expect(whole.choices[0]).toMatchObject({
      message: { content: null, tool_calls: [call] },
      finish_reason: 'tool_calls',
    })
    expect(given[0]?.params).toMatchObject({ tools })
    const runner = clientOf(service).chat.completions.stream({ ...ask, tools })
    expect((await runner.finalChatCompletion()).choices[0]).toMatchObject({
      message: { tool_calls: [{ function: call.function }] },
      finish_reason: 'tool_calls',
    })
  })

  test('says what the model thought', async () => {
    const service = await startAsked()
    const { node } = await answeringNode(service, 'n', ({ task_id, attempt }) => {
      node.say({ type: 'task.output', task_id, attempt, seq: 0, delta: 'hm', channel: 'reasoning' })
      return { output: 'Paris', reasoning: 'hm' }
    })
    const whole = await clientOf(service).chat.completions.create(ask)
    expect(whole.choices[0]?.message).toMatchObject({ content: 'Paris', reasoning_content: 'hm' })
    const chunks = []
    for await (const chunk of await clientOf(service).chat.completions.create({ ...ask, stream: true }))
      chunks.push(chunk.choices[0]?.delta)
    expect(chunks).toMatchObject([{ role: 'assistant' }, { reasoning_content: 'hm' }, { content: 'Paris' }, {}])
  })

  test('five at once are five tasks', async () => {
    const service = await startAsked()
    const { given } = await answeringNode(service, 'n', ({ user_input }) => ({ pieces: [`${user_input}!`] }))
    const client = clientOf(service)
    const answers = await Promise.all(
      [1, 2, 3, 4, 5].map((i) =>
        client.chat.completions.create({ ...ask, messages: [{ role: 'user', content: `q${i}` }] }),
      ),
    )
    expect(answers.map((a) => a.choices[0]?.message.content)).toEqual(['q1!', 'q2!', 'q3!', 'q4!', 'q5!'])
    expect(given).toHaveLength(5)
  })
})

test('the older completions, and embeddings as numbers or base64', async () => {
  const service = await startAsked()
  const { given } = await answeringNode(service, 'n', ({ params }) =>
    params?.['input'] === undefined
      ? { pieces: ['Paris'] }
      : { output: '[[0.5,-1],[2,3]]', usage: { prompt_tokens: 4, completion_tokens: 0 } },
  )
  const client = clientOf(service)
  expect((await client.completions.create({ model: 'llama-3-8b', prompt: 'The capital is' })).choices[0]).toMatchObject(
    { text: 'Paris', finish_reason: 'stop' },
  )
  const pieces = []
  for await (const chunk of await client.completions.create({
    model: 'llama-3-8b',
    prompt: 'The capital is',
    stream: true,
  }))
    pieces.push(chunk.choices[0]?.text)
  expect(pieces.join('')).toBe('Paris')
  const input = ['one', 'two']
  for (const encoding_format of ['float', undefined] as const) {
    const { data, usage } = await client.embeddings.create({ model: 'llama-3-8b', input, encoding_format })
    expect(data.map((d) => [...d.embedding])).toEqual([
      [0.5, -1],
      [2, 3],
    ])
    expect(usage).toEqual({ prompt_tokens: 4, total_tokens: 4 })
  }
  expect(given.at(-1)?.params).toEqual({ input })
})

test('the models that nodes serve now are listed; another is not found at once, with the nearest names', async () => {
  const service = await startAsked()
  const client = clientOf(service)
  await expect(client.chat.completions.create(ask)).rejects.toMatchObject({
    status: 404,
    code: 'model_not_found',
    param: 'model',
    type: 'invalid_request_error',
  })
  await answeringNode(service, 'n', () => ({ output: '' }))
  await until(async () => (await client.models.list()).data.length > 0)
  expect((await client.models.list()).data).toMatchObject([{ id: 'llama-3-8b', object: 'model', owned_by: 'nodes' }])
  expect(await client.models.retrieve('llama-3-8b')).toMatchObject({ id: 'llama-3-8b' })
  await expect(client.chat.completions.create({ ...ask, model: 'llama-3-8c-x' })).rejects.toMatchObject({
    code: 'model_not_found',
  })
  await expect(client.models.retrieve('gpt-9')).rejects.toMatchObject({ status: 404, code: 'model_not_found' })
})

describe('what goes wrong', () => {
  test.each([
    [{ n: 2 }, 'n'],
    [{ store: true }, 'store'],
    [{ audio: { voice: 'a' } }, 'audio'],
    [{ messages: [] }, 'messages'],
    [{ model: undefined }, 'model'],
  ])('%j is refused with the field that is wrong', async (more, param) => {
    const service = await startAsked()
    await answeringNode(service, 'n', () => ({ output: '' }))
    const asked = clientOf(service).chat.completions.create({ ...ask, ...more } as never)
    await expect(asked).rejects.toMatchObject({ status: 400, type: 'invalid_request_error', param })
  })

  test('of a node is told in their form, and says not to try again', async () => {
    const service = await startAsked()
    const node = await connectNode(service, 'n', { features: FEATURES })
    const fails = async (message: Record<string, unknown>, stream: boolean) => {
      const answer = clientOf(service)
        .chat.completions.create({ ...ask, stream })
        .then(
          () => null,
          (error: unknown) => error,
        )
      const a = await node.next('task.assign')
      node.accept(a)
      node.say({ type: 'task.fail', task_id: a.task_id, attempt: a.attempt, error: 'no', retryable: false, ...message })
      return answer
    }
    for (const stream of [false, true]) {
      const tooLong = await fails({ code: 'context_length_exceeded' }, stream)
      expect(tooLong).toMatchObject({ status: 400, code: 'context_length_exceeded' })
      expect((tooLong as InstanceType<typeof OpenAI.APIError>).headers?.get('x-should-retry')).toBe('false')
      expect(await fails({}, stream)).toMatchObject({ status: 502, code: 'node_failed' })
      expect(await fails({ code: 'too_large' }, stream)).toMatchObject({ status: 413 })
    }
  })

  test('a request that no node takes in time is cancelled, and answered 504', async () => {
    const service = await startAsked({ max_wait: 1, queue_unknown_models: true })
    await expect(clientOf(service).chat.completions.create(ask)).rejects.toMatchObject({ status: 504, code: 'timeout' })
    expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ pending_tasks: 0, failed_tasks: 1 })
  })
})

test('a stream that waits for a node says where it is in the queue, so that nothing on its way cuts it', async () => {
  const service = await startAsked({ queue_unknown_models: true })
  const stream = await openEvents(
    service,
    '/v1/chat/completions',
    { 'content-type': 'application/json' },
    {
      method: 'POST',
      body: JSON.stringify({ ...ask, stream: true }),
    },
  )
  await until(() => stream.comments.length > 0)
  expect(stream.comments[0]).toBe('waiting, position 1 of llama-3-8b')
  await answeringNode(service, 'n', () => ({ output: 'Paris' }))
  expect((await stream.next()).data).toMatchObject({ choices: [{ delta: { role: 'assistant' } }] })
  expect((await stream.next()).data).toMatchObject({ choices: [{ delta: { content: 'Paris' } }] })
  expect((await stream.next()).data).toMatchObject({ choices: [{ finish_reason: 'stop' }] })
  expect((await stream.next()).data).toBe('[DONE]')
})

describe('who hangs up', () => {
  const cases = [false, true].flatMap((stream) =>
    ['waiting', 'assigned', 'streaming'].map((state) => [stream, state] as const),
  )
  test.each(cases)('stops the GPU: stream %s, %s', async (stream, state) => {
    const service = await startAsked({ queue_unknown_models: true })
    const node = state === 'waiting' ? null : await connectNode(service, 'n')
    const cut = new AbortController()
    const gone = clientOf(service)
      .chat.completions.create({ ...ask, stream }, { signal: cut.signal })
      .then(async (s) => {
        if (stream) for await (const chunk of s as AsyncIterable<unknown>) expect(chunk).toBeDefined()
      })
      .catch((error: unknown) => error)
    const stats = async () => (await service.get('/api/v1/stats')).body?.data
    if (node === null) await until(async () => (await stats()).pending_tasks === 1)
    const a = node === null ? null : await node.next('task.assign')
    if (node !== null && a !== null) {
      node.accept(a)
      if (state === 'streaming') node.say({ type: 'task.output', task_id: a.task_id, attempt: 1, seq: 0, delta: 'Pa' })
      await node.beat()
    }
    cut.abort()
    if (node !== null && a !== null)
      expect(await node.next('task.cancel', { task_id: a.task_id })).toMatchObject({ reason: 'cancelled' })
    await until(async () => (await stats()).failed_tasks === 1)
    expect(await gone).toBeInstanceOf(Error)
  })

  test('keeps the task where he wants that', async () => {
    const service = await startAsked()
    const node = await connectNode(service, 'n')
    const cut = new AbortController()
    const gone = clientOf(service)
      .chat.completions.create(ask, { signal: cut.signal, headers: { 'X-Keep-Task': 'true' } })
      .catch(() => 'gone')
    const a = await node.next('task.assign')
    node.accept(a)
    cut.abort()
    expect(await gone).toBe('gone')
    await node.beat()
    node.complete(a, 'Paris')
    await service.reaches(a.task_id, 'completed')
  })
})

test('a request that its client repeats joins its task, also after a restart; only the last who hangs up stops it', async () => {
  const service = await startAsked()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 4 })
  const again = { headers: { 'X-Stainless-Retry-Count': '1' } }
  const cut = new AbortController()
  const first = clientOf(service)
    .chat.completions.create(ask, { signal: cut.signal })
    .catch(() => 'gone')
  const a = await node.next('task.assign')
  node.accept(a)
  const second = clientOf(service).chat.completions.create(ask, again)
  const other = clientOf(service).chat.completions.create(
    { ...ask, messages: [{ role: 'user', content: 'other' }] },
    again,
  )
  const b = await node.next('task.assign')
  expect(b.user_input).toBe('other')
  cut.abort()
  expect(await first).toBe('gone')
  await node.beat()
  node.complete(a, 'Paris')
  node.complete(b, 'yes')
  expect((await second).choices[0]?.message.content).toBe('Paris')
  expect((await other).choices[0]?.message.content).toBe('yes')
  expect((await clientOf(service).chat.completions.create(ask, again)).choices[0]?.message.content).toBe('Paris')
  expect((await service.get('/api/v1/stats')).body?.data.total_tasks).toBe(2)
})

describe('a second attempt after text was sent', () => {
  const streamed = async (secondSays: string[]) => {
    const service = await startAsked()
    const first = await connectNode(service, 'first')
    const stream = await (async () => {
      const opened = clientOf(service).chat.completions.create({ ...ask, stream: true })
      const a = await first.next('task.assign')
      first.accept(a)
      first.say({ type: 'task.output', task_id: a.task_id, attempt: 1, seq: 0, delta: 'Paris is' })
      const chunks = (await opened)[Symbol.asyncIterator]()
      await chunks.next()
      await chunks.next()
      const second = await connectNode(service, 'second')
      first.say({ type: 'task.fail', task_id: a.task_id, attempt: 1, error: 'broken', retryable: true })
      const b = await nextAssign(second, a.task_id)
      second.accept(b)
      secondSays.forEach((delta, seq) =>
        second.say({ type: 'task.output', task_id: a.task_id, attempt: 2, seq, delta }),
      )
      await second.beat()
      return { chunks, second, b }
    })()
    return { service, ...stream }
  }

  test('that says the same is not noticed', async () => {
    const { chunks, second, b } = await streamed(['Par', 'is is', ' large'])
    second.complete(b, 'Paris is large')
    const rest = []
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next())
      rest.push(next.value.choices[0]?.delta.content ?? '')
    expect(rest.join('')).toBe(' large')
  })

  test('that says something else ends the stream with an error, and the task', async () => {
    const { service, chunks, second, b } = await streamed(['Par', 'don?'])
    await expect(chunks.next()).rejects.toMatchObject({ code: 'attempt_restarted' })
    expect(await second.next('task.cancel', { task_id: b.task_id })).toMatchObject({ reason: 'cancelled' })
    await service.reaches(b.task_id, 'failed')
  })
})
