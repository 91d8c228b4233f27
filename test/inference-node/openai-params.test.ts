import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createToolCalls } from '../../src/inference-node/tool-calls.js'
import { BackendDown, WorkError } from '../../src/inference-node/index.js'
import { delta, deltaOf, events, json, modelServer, plainTask, wholeStream } from '../support/openai-server.js'

const messages = [
  { role: 'system', content: 'be brief' },
  {
    role: 'user',
    content: [
      { type: 'text', text: 'what is it?' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
    ],
  },
  {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'look', arguments: '{}' } }],
  },
  { role: 'tool', tool_call_id: 'call_1', content: 'a cat' },
]

test('the params of a task go to the server whole, messages in the place of its texts, but for what is the node’s own', async () => {
  const { run, asked } = await modelServer((response) => wholeStream(response, delta('ok', 'stop')), {
    mapping: { 'llama-3-8b': 'llama3:8b' },
  })
  const params = {
    max_tokens: 7,
    temperature: 0.2,
    top_p: 0.9,
    top_k: 40,
    stop: ['\n'],
    seed: 42,
    frequency_penalty: 0.1,
    presence_penalty: -0.1,
    response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object' } } },
    tools: [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }],
    tool_choice: 'auto',
    logprobs: true,
    reasoning_effort: 'low',
    of_tomorrow: { a: [1, null] },
  }
  const own = { model: 'another', stream: false, stream_options: { include_usage: false }, n: 5 }
  await run({ context: 'not this', user_input: 'nor this', params: { ...params, ...own, messages } })
  expect(asked[0]?.body).toEqual({
    ...params,
    model: 'llama3:8b',
    messages,
    stream: true,
    stream_options: { include_usage: true },
  })
})

test('without messages in them the texts of the task are the question; a task without params asks as it always did', async () => {
  const { run, asked } = await modelServer((response) => wholeStream(response, delta('ok', 'stop')))
  const question = [
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'why?' },
  ]
  const plain = { model: 'llama-3-8b', messages: question, stream: true, stream_options: { include_usage: true } }
  await run({ context: 'be brief', params: { temperature: 0 } })
  await run({ context: 'be brief', params: { messages: [] } })
  await run({ context: 'be brief' })
  expect(asked.map(({ body }) => body)).toEqual([{ ...plain, temperature: 0 }, plain, plain])
})

test('calls of tools that come in parts are put together, and an answer without text is one', async () => {
  const part = (index: number, f: object, more: object = {}) =>
    deltaOf({ tool_calls: [{ index, ...more, function: f }] })
  const { run, chunks } = await modelServer((response) =>
    wholeStream(
      response,
      deltaOf({ role: 'assistant', content: null }),
      part(0, { name: 'look', arguments: '' }, { id: 'call_a', type: 'function' }),
      part(0, { arguments: '{"at":' }),
      part(1, { name: 'hear', arguments: '{}' }, { id: 'call_b', type: 'function' }),
      part(0, { arguments: '"it"}' }),
      deltaOf({}, 'tool_calls'),
      { choices: [], usage: { prompt_tokens: 9, completion_tokens: 4 } },
    ),
  )
  expect(await run()).toEqual({
    type: 'task.complete',
    task_id: 't1',
    attempt: 1,
    output: '',
    confidence: 1,
    finish_reason: 'tool_calls',
    tool_calls: [
      { id: 'call_a', type: 'function', function: { name: 'look', arguments: '{"at":"it"}' } },
      { id: 'call_b', type: 'function', function: { name: 'hear', arguments: '{}' } },
    ],
    usage: { prompt_tokens: 9, completion_tokens: 4 },
  })
  expect(chunks).toEqual([])
})

test('calls of servers that give no index, no id, or the same index to every call are told apart', () => {
  const calls = (...pieces: Parameters<ReturnType<typeof createToolCalls>['add']>[0][]) => {
    const whole = createToolCalls()
    for (const piece of pieces) whole.add(piece)
    return whole.list()
  }
  const named = (name: string, args = '{}') => ({ type: 'function', function: { name, arguments: args } })
  expect(calls({ index: 0, id: 'a', ...named('x') }, { index: 0, id: 'b', ...named('y') })).toEqual([
    { id: 'a', ...named('x') },
    { id: 'b', ...named('y') },
  ])
  expect(calls({ id: 'a', ...named('x', '{') }, { function: { arguments: '}' } }, { id: 'b', ...named('y') })).toEqual([
    { id: 'a', ...named('x') },
    { id: 'b', ...named('y') },
  ])
  // The id is repeated in every part, or empty in all but the first.
  expect(
    calls({ index: 0, id: 'a', ...named('x', '{') }, { index: 0, id: 'a', function: { arguments: '}' } }),
  ).toHaveLength(1)
  expect(
    calls({ index: 0, id: 'a', ...named('x', '{') }, { index: 0, id: '', function: { arguments: '}' } }),
  ).toHaveLength(1)
  const nameless = calls(named('x'), named('y'))
  expect(nameless.map((call) => call.function.name)).toEqual(['x', 'y'])
  expect(new Set(nameless.map((call) => call.id)).size).toBe(2)
  expect(nameless[0]?.id).toMatch(/^call_[0-9a-f]{24}$/)
})

test('arguments cut anywhere and mixed with those of other calls come out as they were', () => {
  const call = fc.record({
    id: fc.string({ minLength: 1 }),
    name: fc.string({ minLength: 1 }),
    args: fc.array(fc.string()),
  })
  fc.assert(
    fc.property(fc.array(call, { maxLength: 20 }), fc.infiniteStream(fc.nat()), (given, random) => {
      const whole = createToolCalls()
      let characters = 0
      for (const [index, { id, name }] of given.entries())
        characters += whole.add({ index, id, type: 'function', function: { name, arguments: '' } })
      const left = given.map(({ args }, index) => ({ index, args: [...args] })).filter(({ args }) => args.length > 0)
      while (left.length > 0) {
        const at = (random.next().value ?? 0) % left.length
        const { index = 0, args = [] } = left[at] ?? {}
        characters += whole.add({ index, function: { arguments: args.shift() ?? null } })
        if (args.length === 0) left.splice(at, 1)
      }
      expect(whole.list()).toEqual(
        given.map(({ id, name, args }) => ({
          id: id.toWellFormed(),
          type: 'function',
          function: { name: name.toWellFormed(), arguments: args.join('').toWellFormed() },
        })),
      )
      const lengths = given.map(({ id, name, args }) => [id, 'function', name, ...args].join('').length)
      expect(characters).toBe(lengths.reduce((sum, length) => sum + length, 0))
    }),
  )
})

test.each(['reasoning_content', 'reasoning'])(
  'what the model thinks (%s) is told apart from what it answers',
  async (field) => {
    const { run, chunks, thoughts } = await modelServer((response) =>
      wholeStream(
        response,
        deltaOf({ role: 'assistant', content: '', [field]: 'hm' }),
        deltaOf({ [field]: ', well' }),
        delta('Yes'),
        delta('.', 'stop'),
      ),
    )
    expect(await run()).toMatchObject({ output: 'Yes.', reasoning: 'hm, well', finish_reason: 'stop' })
    expect([thoughts, chunks]).toEqual([
      ['hm', ', well'],
      ['Yes', '.'],
    ])
  },
)

test('a server that says its thoughts under both names says them once, and in a form of its own not at all', async () => {
  const answers = [deltaOf({ reasoning_content: 'hm', reasoning: 'hm' }), deltaOf({ reasoning: { text: 'hm' } })]
  const { run } = await modelServer((response) => wholeStream(response, answers.shift(), delta('Yes', 'stop')))
  expect(await run()).toMatchObject({ output: 'Yes', reasoning: 'hm' })
  expect(await run()).not.toHaveProperty('reasoning')
})

test.each([
  ['stop', 'stop'],
  ['length', 'length'],
  ['content_filter', 'content_filter'],
  ['function_call', 'tool_calls'],
  ['eos_token', 'stop'],
])('an answer that ended for %s has ended for %s', async (said, told) => {
  const { run } = await modelServer((response) => wholeStream(response, delta('x', said)))
  expect(await run()).toMatchObject({ output: 'x', finish_reason: told })
})

test('an answer that came whole says the same as one in pieces', async () => {
  const tool_calls = [{ id: 'call_a', type: 'function', function: { name: 'look', arguments: '{}' }, index: 0 }]
  const message = { role: 'assistant', content: null, reasoning_content: 'hm', tool_calls }
  const { run, thoughts } = await modelServer((response) =>
    json(response, 200, {
      choices: [{ message, finish_reason: 'tool_calls' }],
      usage: { prompt_tokens: 1, completion_tokens: 2 },
    }),
  )
  expect(await run()).toMatchObject({
    output: '',
    reasoning: 'hm',
    tool_calls,
    finish_reason: 'tool_calls',
    usage: { prompt_tokens: 1, completion_tokens: 2 },
  })
  expect(thoughts).toEqual(['hm'])
})

test('an answer that the model refuses is what it says instead; one that was filtered may be empty', async () => {
  const bodies = [
    { choices: [{ message: { content: null, refusal: 'I will not.' }, finish_reason: 'stop' }] },
    { choices: [{ message: {}, finish_reason: 'content_filter' }] },
  ]
  const { run } = await modelServer((response) => json(response, 200, bodies.shift()))
  expect(await run()).toMatchObject({ output: 'I will not.', finish_reason: 'stop' })
  expect(await run()).toMatchObject({ output: '', finish_reason: 'content_filter' })
})

test('text, thoughts and arguments of tools count together: what cannot fit is stopped', async () => {
  const long = 'x'.repeat(400)
  const { run } = await modelServer((response) =>
    events(
      response,
      deltaOf({ reasoning: long }),
      deltaOf({ tool_calls: [{ index: 0, id: 'a', function: { name: 'f', arguments: long } }] }),
      delta(long),
    ),
  )
  await expect(run({}, undefined, 1000)).rejects.toThrow('the output is too large: more than 1000 characters')
  const many = Array.from({ length: 129 }, (_, index) => ({ index, id: `c${index}` }))
  const calls = await modelServer((response) => wholeStream(response, deltaOf({ tool_calls: many }, 'tool_calls')))
  await expect(calls.run()).rejects.toThrow('calls tools more than 128 times')
})

const tooLong: [string, number, unknown][] = [
  [
    'OpenAI',
    400,
    {
      error: {
        message: "This model's maximum context length is 8192 tokens.",
        type: 'invalid_request_error',
        param: 'messages',
        code: 'context_length_exceeded',
      },
    },
  ],
  [
    'vLLM',
    400,
    {
      object: 'error',
      message: "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
      type: 'BadRequestError',
      param: null,
      code: 400,
    },
  ],
  [
    'a newer vLLM',
    400,
    {
      error: {
        message: 'The decoder prompt (length 5000) is longer than the maximum model length of 4096.',
        type: 'BadRequestError',
        code: 400,
      },
    },
  ],
  [
    'llama.cpp',
    400,
    {
      error: {
        code: 400,
        message: 'the request exceeds the available context size, try increasing it',
        type: 'exceed_context_size_error',
      },
    },
  ],
  [
    'an older llama.cpp',
    500,
    {
      error: {
        code: 500,
        message: 'the request exceeds the available context size. try increasing the context size',
        type: 'server_error',
      },
    },
  ],
  [
    'SGLang',
    400,
    {
      message: "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
      type: 'BadRequestError',
      code: 400,
    },
  ],
  [
    'LM Studio',
    400,
    { error: 'The number of tokens to keep from the initial prompt is greater than the context length of 4096 tokens' },
  ],
  ['Ollama', 400, { error: { message: 'the input length exceeds the context length', type: 'invalid_request_error' } }],
  ['a proxy', 413, { error: { message: 'maximum context length exceeded' } }],
]

test.each(tooLong)('%s says that the context is too long: another node is not tried', async (_, status, body) => {
  const { run } = await modelServer((response) => json(response, status, body))
  const error: unknown = await run().catch((e: unknown) => e)
  expect(error).toBeInstanceOf(WorkError)
  expect(error).not.toBeInstanceOf(BackendDown)
  expect(error).toMatchObject({ code: 'context_length_exceeded', retryable: false })
})

test('what is too large or filtered says so, also in the middle of an answer', async () => {
  const filtered = { message: 'The response was filtered', code: 'content_filter' }
  const answers: [Parameters<typeof modelServer>[0], object][] = [
    [
      (r) => void r.writeHead(413).end('<html>Request Entity Too Large</html>'),
      { code: 'too_large', retryable: false },
    ],
    [(r) => json(r, 400, { error: filtered }), { code: 'content_filter', retryable: false }],
    [(r) => wholeStream(r, delta('x'), { error: filtered }), { code: 'content_filter', retryable: false }],
    [
      (r) => wholeStream(r, delta('x'), { error: { message: 'maximum context length reached' } }),
      { code: 'context_length_exceeded' },
    ],
    // Says nothing of the task.
    [(r) => json(r, 500, { error: 'the context is cancelled' }), { code: undefined, retryable: true }],
    [(r) => json(r, 400, { error: 'the prompt is too long' }), { code: undefined, retryable: true }],
  ]
  for (const [answer, expected] of answers) {
    const { run } = await modelServer(answer)
    expect(await run().catch((e: unknown) => e)).toMatchObject(expected)
  }
})

test.each<[number, unknown, boolean]>([
  [
    400,
    { error: { message: 'temperature must be at most 2', type: 'invalid_request_error', param: 'temperature' } },
    false,
  ],
  [422, { error: { message: 'wrong', param: 'tools[0].function' } }, false],
  [400, { error: { message: 'does not support tools', param: null } }, true], // another server may
  [400, { error: { message: 'wrong', param: 'stream_options.x' } }, true], // what the node itself has added
  [400, 'temperature', true],
  [500, { error: { message: 'wrong', param: 'temperature' } }, true],
])(
  'an answer %i with %j: a parameter that the server names cannot be had elsewhere',
  async (status, body, retryable) => {
    const { run } = await modelServer((response) => json(response, status, body))
    const error: unknown = await run({ params: { temperature: 7 } }).catch((e: unknown) => e)
    expect(error).toMatchObject({ retryable, code: undefined })
  },
)

test('whatever a server streams either is an answer or fails the task', async () => {
  let said: unknown[] = []
  const { run } = await modelServer((response) => wholeStream(response, ...said))
  const any = fc.jsonValue({ maxDepth: 2 })
  const anyCall = fc.record(
    { index: fc.oneof(fc.nat(3), any), id: fc.oneof(fc.string(), any), function: any },
    { requiredKeys: [] },
  )
  const anyDelta = fc.oneof(
    any,
    fc.record(
      { content: fc.string(), reasoning: any, tool_calls: fc.array(anyCall, { maxLength: 3 }) },
      { requiredKeys: [] },
    ),
  )
  const anyEvent = fc.oneof(
    any,
    fc.record({ choices: fc.tuple(fc.record({ delta: anyDelta, finish_reason: fc.oneof(any, fc.constant('stop')) })) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(anyEvent, { maxLength: 4 }), async (sent) => {
      said = sent
      const result: unknown = await run(plainTask).catch((e: unknown) => e)
      if (!(result instanceof WorkError)) expect(result).toMatchObject({ type: 'task.complete' })
    }),
    { numRuns: 50 },
  )
})
