import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { createCoordinator, inferenceDefaults } from '../../src/coordinator.js'
import { identity } from '../support/identity.js'
import { connectNode } from '../support/node-session.js'
import { type Answer, calm, inspect, type Service, serviceAt, startService, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'
import { Database } from '../../src/store/sqlite.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const MAX = Number.MAX_SAFE_INTEGER
/** What breaks where text is cut at NUL, normalized, escaped wrongly, or counted in the wrong unit. */
const TEXTS = [
  '',
  ' ',
  '\0',
  'a\0b\0',
  '😀👩‍👩‍👧‍👦',
  'e\u0301 \u00e9',
  '\ufeffbom',
  '\uffff\ufdd0',
  '\u2028\u2029',
  '\r\n\t\b\u007f\u0085',
  '"\\/',
  '</script>',
  'שלום 你好',
  '\u{10ffff}',
  '{"fee": 1}',
  ' "fee":12345678901234567890, \\"nonce": 1e-400,',
  '\u202eabc',
]

/** Everything that is stored, but when a node was seen: that a call came is not what it asked for. */
const tables = (file: string) =>
  inspect(file, (db) => ({
    tasks: db.prepare('SELECT * FROM inference_tasks ORDER BY task_id').all(),
    attempts: db.prepare('SELECT * FROM attempts ORDER BY task_id, attempt').all(),
    counts: db.prepare('SELECT * FROM task_counts ORDER BY status').all(),
    nodes: db
      .prepare<[], Record<string, unknown>>('SELECT * FROM inference_nodes ORDER BY node_id')
      .all()
      .map((row) => ({ ...row, last_heartbeat: null, last_seen_ms: null })),
  }))
const state = async (service: Service) => {
  const { uptime_seconds: _, ...stats } = (await service.get('/api/v1/stats')).body?.data as Record<string, unknown>
  const nodes = (await service.get('/api/v1/nodes')).body?.data as Record<string, unknown>[]
  return { stats, nodes: nodes.map((n) => ({ ...n, last_heartbeat: null })), tables: tables(service.file) }
}

/** An answer as it came over the wire, to a request that fetch would not send. */
async function exchange(
  service: Pick<Service, 'host'>,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  chunks: readonly (string | Uint8Array)[] = [],
) {
  const [hostname = '', port = ''] = service.host.split(':')
  const r = request({ hostname, port, method, path, headers, agent: false })
  r.on('error', () => undefined) // after the answer came, the rest of a refused body may meet a closed socket
  const answered = new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>(
    (resolve, reject) => {
      r.on('response', (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(parts).toString(),
          }),
        )
        response.on('error', reject)
      })
      r.on('close', () => reject(new Error('the connection ended without an answer')))
    },
  )
  for (const chunk of chunks) r.write(chunk)
  r.end()
  return answered
}

/** Bytes on a socket, and everything that comes back until the service closes it. */
async function rawExchange(service: Pick<Service, 'host'>, bytes: string): Promise<string> {
  const [hostname = '', port = ''] = service.host.split(':')
  const socket = connect(Number(port), hostname)
  onTestFinished(() => void socket.destroy())
  let text = ''
  socket.on('data', (part: Buffer) => (text += part.toString()))
  socket.write(bytes)
  await once(socket, 'close')
  return text
}

/** A call, and the status, the code and the words it is refused with. */
type Refused = [ask: () => Promise<Answer>, status: number, code: string, names: RegExp]

function expectRefusal(answer: Answer, status: number, code: string, names: string | RegExp): void {
  expect(answer.body).toEqual({ success: false, data: null, error: expect.stringMatching(names), code })
  expect(answer.status).toBe(status)
  expect(answer.headers.get('x-request-id')).toMatch(/./)
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
}

test('a success carries all three keys of the envelope and no other', async () => {
  const service = await startService()
  for (const answer of [
    await service.get('/health'),
    await service.register('node-1'),
    await service.post('/api/v1/tasks/submit', task()),
    await service.get('/api/v1/stats'),
    await service.get('/api/v1/nodes'),
  ]) {
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({ success: true, data: expect.anything(), error: null })
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
  }
})

test('a 204 has no body at all and still a request id', async () => {
  const service = await startService()
  await service.register('node-1')
  const answer = await exchange(service, 'GET', '/api/v1/nodes/node-1/tasks')
  expect(answer.status).toBe(204)
  expect(answer.text).toBe('')
  expect(answer.headers['content-type']).toBeUndefined()
  expect(answer.headers['x-request-id']).toMatch(/./)
})

test('every answer carries a request id of its own', async () => {
  const service = await startService()
  const answers = await Promise.all([
    ...Array.from({ length: 20 }, () => service.get('/health')),
    service.get('/nowhere'),
    service.send('DELETE', '/api/v1/tasks'),
    service.post('/api/v1/tasks', {}),
    service.send('POST', '/api/v1/tasks', 'x', { 'content-type': 'text/plain' }),
    service.get('/api/v1/nodes/nobody/tasks'),
    service.get('/api/v1/nodes/connect'),
  ])
  const ids = answers.map((a) => a.headers.get('x-request-id'))
  for (const id of ids) expect(id).toMatch(/./)
  expect(new Set(ids).size).toBe(ids.length)
})

test('an answer to what is no valid HTTP request carries a request id and the envelope too', async () => {
  const service = await startService()
  for (const bytes of [
    'GARBAGE\r\n\r\n',
    'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n', // no Host
    'GET /health HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n',
    `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
    'POST /api/v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: many\r\n\r\n',
  ]) {
    const text = await rawExchange(service, bytes)
    const found = {
      status: /^HTTP\/1\.1 4\d\d /.test(text),
      id: /\r\nx-request-id: \S/i.test(text),
      envelope: text.includes('"success":false'),
    }
    expect.soft(found, `${bytes.slice(0, 60)} was answered ${text}`).toEqual({ status: true, id: true, envelope: true })
  }
})

test('an unknown route is 404, and a known one with another method is 405 with Allow', async () => {
  const service = await startService()
  for (const path of [
    '/',
    '/nowhere',
    '/api',
    '/api/v1',
    '/api/v1/tasks/some-id/some-thing',
    '/api/v2/tasks',
    '/api/v1/stats/',
    '/api/v1/nodes/a/b/tasks',
    '/health/x',
    '/%00',
    '/%',
  ]) {
    expectRefusal(await service.get(path), 404, 'not_found', /./)
    expectRefusal(await service.post(path, {}), 404, 'not_found', /./)
  }
  const gets = ['/health', '/api/v1/stats', '/api/v1/nodes', '/api/v1/nodes/n/tasks', '/api/v1/tasks/t/status']
  const posts = [
    '/api/v1/nodes/register',
    '/api/v1/nodes/heartbeat',
    '/api/v1/tasks/submit',
    '/api/v1/tasks/batch',
    '/api/v1/tasks/complete',
    '/api/v1/tasks/fail',
  ]
  for (const [paths, methods, allowed] of [
    [gets, ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'], 'GET'],
    [posts, ['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'], 'POST'],
  ] as const) {
    for (const path of paths) {
      for (const method of methods) {
        const answer = await service.send(method, path)
        expectRefusal(answer, 405, 'method_not_allowed', method)
        expect(answer.headers.get('allow')?.split(/, */)).toContain(allowed)
        expect(answer.headers.get('allow')?.split(/, */)).not.toContain(method)
      }
    }
  }
})

test('HEAD is answered like GET, without a body', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  for (const path of [
    '/health',
    '/api/v1/stats',
    '/api/v1/nodes',
    `/api/v1/tasks/${id}/status`,
    '/api/v1/tasks/unknown/status',
    '/nowhere',
  ]) {
    const answer = await exchange(service, 'HEAD', path)
    expect(answer.status).toBe((await service.get(path)).status)
    expect(answer.text).toBe('')
    expect(answer.headers['x-request-id']).toMatch(/./)
  }
  const refused = await exchange(service, 'HEAD', '/api/v1/tasks/submit')
  expect(refused).toMatchObject({ status: 405, text: '' })
  expect(refused.headers.allow).toBe('POST')
})

test('a poll with HEAD takes no lease: it is another method than the one that is allowed', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  const refused = await exchange(service, 'HEAD', '/api/v1/nodes/node-1/tasks')
  expect(refused).toMatchObject({ status: 405, text: '' })
  expect(refused.headers.allow).toBe('GET')
  expect(await service.status(id)).toMatchObject({ status: 'pending', attempts: 0 })
})

test('a content type other than JSON is 415, and parameters and case of it do not matter', async () => {
  const service = await startService()
  const body = JSON.stringify(task())
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonx',
    'application/json-patch+json',
    'text/json',
    ';',
  ]) {
    expectRefusal(
      await service.send('POST', '/api/v1/tasks', body, { 'content-type': type }),
      415,
      'unsupported_media_type',
      /Content-Type/i,
    )
  }
  expectRefusal(
    await service.send('POST', '/api/v1/tasks', new TextEncoder().encode(body)),
    415,
    'unsupported_media_type',
    /Content-Type/i,
  ) // none at all
  for (const type of [
    'application/json',
    'Application/JSON',
    'application/json;charset=utf-8',
    'application/json ; charset=UTF-8',
  ]) {
    expect((await service.send('POST', '/api/v1/tasks', body, { 'content-type': type })).status).toBe(200)
  }
})

test('a body over the limit is 413 and one of exactly the limit is taken', async () => {
  const service = await startService({ max_body_bytes: 4096 })
  const sized = (bytes: number, task_id: string) => {
    const empty = JSON.stringify(task({ task_id, more: '' })).length
    return JSON.stringify(task({ task_id, more: 'x'.repeat(bytes - empty) }))
  }
  expect((await service.send('POST', '/api/v1/tasks', sized(4096, 'fits'), JSON_TYPE)).status).toBe(200)
  const before = await state(service)
  expectRefusal(await service.send('POST', '/api/v1/tasks', sized(4097, 'over'), JSON_TYPE), 413, 'too_large', /4096/)
  expectRefusal(
    await service.send('POST', '/api/v1/nodes/register', sized(100_000, 'over'), JSON_TYPE),
    413,
    'too_large',
    /4096/,
  )
  expect(await state(service)).toEqual(before)
})

test('a chunked body over the limit is 413 too, and one below it is taken', async () => {
  const service = await startService({ max_body_bytes: 4096 })
  const headers = { ...JSON_TYPE, 'transfer-encoding': 'chunked' }
  const before = await state(service)
  const refused = await exchange(service, 'POST', '/api/v1/tasks', headers, [
    JSON.stringify(task()).slice(0, -1),
    ',"more":"',
    ...Array.from({ length: 50 }, () => 'x'.repeat(1000)),
    '"}',
  ])
  expect(refused.status).toBe(413)
  expect(JSON.parse(refused.text)).toEqual({
    success: false,
    data: null,
    error: expect.stringContaining('4096'),
    code: 'too_large',
  })
  expect(refused.headers['x-request-id']).toMatch(/./)
  expect(await state(service)).toEqual(before)
  const text = JSON.stringify(task({ task_id: 'in-pieces', user_input: '😀' }))
  const bytes = Buffer.from(text)
  const at = bytes.indexOf(Buffer.from('😀')) + 2 // in the middle of a character
  expect(
    (await exchange(service, 'POST', '/api/v1/tasks', headers, [bytes.subarray(0, at), bytes.subarray(at)])).status,
  ).toBe(200)
  expect(await service.status('in-pieces')).toMatchObject({ user_input: '😀' })
})

test('the service goes on serving after bodies that are cut off', async () => {
  const service = await startService()
  const [hostname = '', port = ''] = service.host.split(':')
  const before = await state(service)
  for (let i = 0; i < 3; i++) {
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    socket.end(
      `POST /api/v1/tasks HTTP/1.1\r\nHost: ${service.host}\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n${JSON.stringify(task())}`,
    )
    socket.resume()
    await once(socket, 'close')
  }
  expect(await state(service)).toEqual(before)
})

test('bad JSON, a body that is no object, and invalid UTF-8 are 400', async () => {
  const service = await startService()
  const before = await state(service)
  const bodies: (string | Uint8Array)[] = [
    '',
    ' ',
    '{',
    '{"a":1,}',
    "{'a':1}",
    'NaN',
    '{"fee":NaN}',
    '{"fee":01}',
    '{"fee":0x10}',
    '{"a":"\n"}',
    'undefined',
    '{}{}',
    'null',
    'true',
    '5',
    '"text"',
    '[]',
    `[${JSON.stringify(task())}]`,
  ]
  const valid = Buffer.from(JSON.stringify(task({ user_input: 'XX' })))
  const at = valid.indexOf('XX')
  const invalid = ['ff', 'c080', 'c3', 'eda080', 'f4908080', 'e282', 'fe80'].map((hex) =>
    Buffer.concat([valid.subarray(0, at), Buffer.from(hex, 'hex'), valid.subarray(at)]),
  )
  for (const path of [
    '/api/v1/nodes/register',
    '/api/v1/nodes/heartbeat',
    '/api/v1/tasks/submit',
    '/api/v1/tasks/batch',
    '/api/v1/tasks/complete',
    '/api/v1/tasks/fail',
  ]) {
    for (const body of [...bodies, ...invalid])
      expectRefusal(await service.send('POST', path, body, JSON_TYPE), 400, 'invalid_request', /./)
  }
  for (const body of invalid)
    expectRefusal(await service.send('POST', '/api/v1/tasks', body, JSON_TYPE), 400, 'invalid_request', /UTF-8/)
  expect(await state(service)).toEqual(before)
})

test('invalid UTF-8 or percent-encoding in the path or in ?running= is 400', async () => {
  const service = await startService()
  await service.register('node-1')
  for (const segment of ['%ff', 'a%C3', '%ED%A0%80', '%zz', '%', 'a%2']) {
    for (const path of [
      `/api/v1/nodes/${segment}/tasks`,
      `/api/v1/tasks/${segment}/status`,
      `/api/v1/nodes/node-1/tasks?running=${segment}`,
    ]) {
      const answer = await exchange(service, 'GET', path)
      expect
        .soft({ path, status: answer.status, code: (JSON.parse(answer.text || '{}') as { code?: string }).code })
        .toEqual({ path, status: 400, code: 'invalid_request' })
    }
  }
})

test('an id in the path that no one may have is 400', async () => {
  const service = await startService()
  for (const segment of ['a%2Fb', '%00', '%0A', '%7F', '%C2%85', 'x'.repeat(129)]) {
    expectRefusal(await service.get(`/api/v1/nodes/${segment}/tasks`), 400, 'invalid_request', /^node_id: /)
    expectRefusal(await service.get(`/api/v1/tasks/${segment}/status`), 400, 'invalid_request', /^task_id: /)
  }
})

test('a lone surrogate is 400 in every text, and a pair written as escapes is the character', async () => {
  const service = await startService()
  await service.register('node-1')
  const before = await state(service)
  for (const field of [
    'task_id',
    'user_address',
    'user_input',
    'context',
    'model_name',
    'signed_tx',
    'signer_public_key',
  ]) {
    for (const bad of ['\ud800', 'a\udc00b', '\udc00\ud800']) {
      expectRefusal(
        await service.post('/api/v1/tasks', task({ [field]: bad })),
        400,
        'invalid_request',
        new RegExp(`^${field}: `),
      )
    }
  }
  for (const [field, path] of [
    ['output', 'complete'],
    ['error', 'fail'],
    ['task_id', 'complete'],
    ['inference_node_id', 'fail'],
  ] as const) {
    const body = {
      task_id: 't',
      inference_node_id: 'node-1',
      output: 'o',
      confidence: 1,
      error: 'e',
      [field]: 'x\ud83d',
    }
    expectRefusal(await service.post(`/api/v1/tasks/${path}`, body), 400, 'invalid_request', new RegExp(`^${field}: `))
  }
  expect(await state(service)).toEqual(before)
  const escaped = JSON.stringify(task({ task_id: 'pair', user_input: 'X' })).replace('"X"', '"\\ud83d\\ude00"')
  expect((await service.send('POST', '/api/v1/tasks', escaped, JSON_TYPE)).status).toBe(200)
  expect(await service.status('pair')).toMatchObject({ user_input: '😀' })
})

test('prompts, contexts and outputs come back byte for byte, over the wire and in the file', async () => {
  const service = await startService()
  await service.register('node-1')
  for (const [i, text] of TEXTS.entries()) {
    const id = await service.submit({ task_id: `text-${i}`, user_input: text, context: `${text}c`, signed_tx: text })
    expect(await service.poll('node-1')).toMatchObject({
      task_id: id,
      user_input: text,
      context: `${text}c`,
      signed_tx: text,
    })
    expect(
      (
        await service.post('/api/v1/tasks/complete', {
          task_id: id,
          output: `${text}o`,
          confidence: 1,
          inference_node_id: 'node-1',
        })
      ).status,
    ).toBe(200)
    expect(await service.status(id)).toMatchObject({
      user_input: text,
      context: `${text}c`,
      result: { output: `${text}o` },
    })
    const row = inspect(service.file, (db) =>
      db.prepare('SELECT user_input, context, output FROM inference_tasks WHERE task_id = ?').get(id),
    )
    expect(row).toEqual({ user_input: text, context: `${text}c`, output: `${text}o` })
  }
})

test('any Unicode text comes back as it was', async () => {
  const service = await startService()
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  let round = 0
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 50 }), async (pairs) => {
      round++
      const tasks = pairs.map(([user_input, context], i) => ({
        ...task(),
        task_id: `${round}-${i}`,
        user_input,
        context,
      }))
      const answer = await service.post('/api/v1/tasks/batch', { tasks })
      expect(answer.body?.data.results).toEqual(tasks.map((t) => ({ task_id: t.task_id })))
      for (const { task_id, user_input, context } of tasks.slice(0, 3))
        expect(await service.status(task_id)).toMatchObject({ user_input, context })
      const rows = inspect(service.file, (db) =>
        db
          .prepare('SELECT task_id, user_input, context FROM inference_tasks WHERE task_id GLOB ? ORDER BY rowid')
          .all(`${round}-*`),
      )
      expect(rows).toEqual(tasks.map(({ task_id, user_input, context }) => ({ task_id, user_input, context })))
    }),
    { numRuns: 10 },
  )
})

test('an id is 1 to 128 characters without slash and control characters and not a dot segment', async () => {
  const service = await startService()
  await service.register('node-1')
  for (const id of [
    '',
    '.',
    '..',
    '/',
    'a/b',
    '\0',
    'a\nb',
    '\u007f',
    '\u009f',
    'x'.repeat(129),
    '😀'.repeat(129),
    '\ud800',
    5,
    true,
    [],
    {},
  ]) {
    expectRefusal(await service.post('/api/v1/tasks', task({ task_id: id })), 400, 'invalid_request', /^task_id: /)
    expectRefusal(await service.register(id as string), 400, 'invalid_request', /^node_id: /)
    expectRefusal(
      await service.post('/api/v1/nodes/heartbeat', { node_id: id, status: 'online' }),
      400,
      'invalid_request',
      /^node_id: /,
    )
    expectRefusal(
      await service.post('/api/v1/tasks/complete', {
        task_id: id,
        output: '',
        confidence: 1,
        inference_node_id: 'node-1',
      }),
      400,
      'invalid_request',
      /^task_id: /,
    )
    expectRefusal(
      await service.post('/api/v1/tasks/fail', { task_id: 't', error: '', inference_node_id: id }),
      400,
      'invalid_request',
      /^inference_node_id: /,
    )
  }
  for (const id of [
    'x',
    '...',
    '.a',
    ' ',
    'x'.repeat(128),
    '😀'.repeat(128),
    '%',
    '%2F',
    '%41',
    'a?b=c#d',
    'a,b',
    'a+b',
    '\\',
    '"',
    "'; DROP TABLE inference_tasks;--",
    '__proto__',
    'constructor',
    '\u2028',
    '\ufeff',
    'é',
    'e\u0301',
  ]) {
    expect((await service.post('/api/v1/tasks', task({ task_id: id, model_name: 'llama-3' }))).body?.data).toEqual({
      task_id: id,
    })
    expect(await service.status(id)).toMatchObject({ task_id: id, status: 'pending' })
    expect((await service.register(id)).status).toBe(200)
    // It names what it has, in whatever characters, so that it is not handed out again.
    expect(await service.poll(id)).toMatchObject({ task_id: id, attempt: 1 })
    expect(await service.poll(id, [id])).toBeNull()
    expect(
      (await service.post('/api/v1/tasks/complete', { task_id: id, output: 'o', confidence: 1, inference_node_id: id }))
        .status,
    ).toBe(200)
  }
})

test('whatever id is offered, the service takes exactly the valid ones and finds them again', async () => {
  const service = await startService()
  const piece = fc.oneof(
    { weight: 6, arbitrary: fc.string({ unit: 'binary', maxLength: 3 }) },
    fc.constantFrom(
      '.',
      '/',
      '%',
      '%2e',
      '\0',
      '\u0080',
      '\ud800',
      '\udfff',
      '😀',
      '?',
      '#',
      '+',
      ' ',
      'x'.repeat(126),
    ),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 5 }), async (pieces) => {
      const id = pieces.join('')
      // A surrogate pair that was put together from two pieces is one character.
      const characters = [...id]
      const valid =
        characters.length >= 1 &&
        characters.length <= 128 &&
        id.isWellFormed() &&
        !/[\0-\x1f\x7f-\x9f/]/.test(id) &&
        id !== '.' &&
        id !== '..'
      const answer = await service.post('/api/v1/tasks', task({ task_id: id }))
      if (!valid) return expectRefusal(answer, 400, 'invalid_request', /^task_id: /)
      expect(answer.body).toEqual({ success: true, data: { task_id: id }, error: null })
      expect(await service.status(id)).toMatchObject({ task_id: id })
    }),
    { numRuns: 150, examples: [[['\ud83d', '\ude00']]] },
  )
})

test('fees and nonces are taken at their edges, as numbers and as decimal strings, and always come back as numbers', async () => {
  const service = await startService()
  for (const field of ['fee', 'nonce', 'infer_fee']) {
    for (const [given, stored] of [
      [0, 0],
      ['0', 0],
      [-0, 0],
      [1, 1],
      ['1', 1],
      ['007', 7],
      [MAX, MAX],
      [String(MAX), MAX],
      [MAX - 1, MAX - 1],
      [2 ** 31, 2 ** 31],
      [2 ** 32, 2 ** 32],
      ['4294967297', 4294967297],
    ] as const) {
      const id = await service.submit({ [field]: given })
      expect((await service.status(id))[field]).toBe(stored)
      expect(
        inspect(service.file, (db) =>
          db.prepare(`SELECT ${field} AS n, typeof(${field}) AS type FROM inference_tasks WHERE task_id = ?`).get(id),
        ),
      ).toEqual({ n: stored, type: 'integer' })
    }
    for (const bad of [
      -1,
      '-1',
      0.5,
      '0.5',
      1e21,
      MAX + 1,
      String(MAX + 1),
      '9007199254740993',
      '18446744073709551616',
      '1e3',
      '0x10',
      '',
      ' 1',
      '1 ',
      '+1',
      '1_000',
      '１',
      'NaN',
      true,
      null,
      [],
      [1],
      {},
    ]) {
      expectRefusal(
        await service.post('/api/v1/tasks', task({ [field]: bad })),
        400,
        'invalid_request',
        new RegExp(`^${field}: .*integer`),
      )
    }
  }
})

test('whatever amount is offered, it is taken exactly or refused', async () => {
  const service = await startService()
  const value = fc.oneof(
    fc.maxSafeInteger(),
    fc.double(),
    fc.bigInt({ min: 0n, max: 2n ** 54n }).map(String),
    fc.tuple(fc.nat({ max: 20 }), fc.maxSafeNat()).map(([zeros, n]) => '0'.repeat(zeros) + String(n)),
    fc.string({ maxLength: 4 }),
    fc.mixedCase(fc.constantFrom('1e5', '0x1f', 'infinity')),
    fc.constantFrom(MAX, MAX + 1, String(MAX), String(MAX + 1)),
  )
  await fc.assert(
    fc.asyncProperty(value, async (given) => {
      const answer = await service.post('/api/v1/tasks', task({ nonce: given }))
      const n =
        typeof given === 'number' ? given : /^[0-9]+$/.test(given) && BigInt(given) <= BigInt(MAX) ? Number(given) : NaN
      if (!Number.isSafeInteger(n) || n < 0) return expectRefusal(answer, 400, 'invalid_request', /^nonce: /)
      expect((await service.status(answer.body?.data.task_id as string)).nonce).toBe(n + 0)
    }),
    { numRuns: 150 },
  )
})

test('an amount that is written with a fraction or an exponent is taken when it is an integer, and never rounded to one', async () => {
  const service = await startService()
  const submit = (literal: string) =>
    service.send('POST', '/api/v1/tasks', JSON.stringify(task({ infer_fee: 'X' })).replace('"X"', literal), JSON_TYPE)
  for (const [literal, n] of [
    ['1.0', 1],
    ['1e3', 1000],
    ['2500.00', 2500],
    ['9007199254740991', MAX],
    ['-0', 0],
  ] as const) {
    expect((await service.status((await submit(literal)).body?.data.task_id as string)).infer_fee).toBe(n)
  }
  // The last three would be integers after JSON.parse, which rounds to what a double can hold.
  for (const literal of [
    '1.5',
    '1e-1',
    '9007199254740992',
    '9007199254740993',
    '1e400',
    '9007199254740990.5',
    '1.00000000000000000001',
    '1e-400',
  ]) {
    expect.soft({ literal, status: (await submit(literal)).status }).toEqual({ literal, status: 400 })
  }
  const entries = JSON.stringify({
    tasks: [task({ task_id: 'a' }), task({ infer_fee: 'X' }), task({ task_id: 'b' })],
  }).replace('"X"', '9007199254740990.5')
  expect((await service.send('POST', '/api/v1/tasks/batch', entries, JSON_TYPE)).body?.data.results).toEqual([
    { task_id: 'a' },
    { error: expect.stringMatching(/^infer_fee: /), code: 'invalid_request' },
    { task_id: 'b' },
  ])
})

test('however an amount is written, what is taken is exactly what was written', async () => {
  const service = await startService()
  const digits = fc.oneof(
    fc.maxSafeNat().map(String),
    fc.bigInt({ min: 0n, max: 2n ** 55n }).map(String),
    fc.constantFrom(String(MAX), String(MAX - 1), '0', '1'),
  )
  const fraction = fc.oneof(fc.constant(''), fc.stringMatching(/^\.0{0,18}[0-9]$/))
  const exponent = fc.oneof(
    { weight: 3, arbitrary: fc.constant('') },
    fc.tuple(fc.constantFrom('e', 'E', 'e+'), fc.nat({ max: 3 })).map(([e, n]) => e + String(n)),
    fc.integer({ min: -400, max: -1 }).map((n) => `e${n}`),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('fee', 'nonce', 'infer_fee'),
      digits,
      fraction,
      exponent,
      async (field, d, f, e) => {
        const literal = d + f + e
        const answer = await service.send(
          'POST',
          '/api/v1/tasks',
          JSON.stringify(task({ [field]: 'X' })).replace('"X"', literal),
          JSON_TYPE,
        )
        // The value is digits x 10^places, counted without rounding.
        const places = Number(e.slice(1) || 0) - Math.max(f.length - 1, 0)
        const all = BigInt(d + f.slice(1))
        const exact =
          places >= 0
            ? all * 10n ** BigInt(places)
            : all % 10n ** BigInt(-places) === 0n
              ? all / 10n ** BigInt(-places)
              : null
        const fits = exact !== null && exact <= BigInt(MAX)
        if (answer.status === 200)
          expect({
            literal,
            n: BigInt((await service.status(answer.body?.data.task_id as string))[field] as number),
          }).toEqual({ literal, n: exact })
        else expectRefusal(answer, 400, 'invalid_request', new RegExp(`^${field}: `))
        if (f + e === '') expect({ literal, status: answer.status }).toEqual({ literal, status: fits ? 200 : 400 })
      },
    ),
    { numRuns: 150 },
  )
})

test('max_infer_time is an integer from 1', async () => {
  const service = await startService()
  for (const bad of [0, -1, 1.5, '60', null, true, 1e300, []])
    expectRefusal(
      await service.post('/api/v1/tasks', task({ max_infer_time: bad })),
      400,
      'invalid_request',
      /^max_infer_time: /,
    )
  for (const good of [1, 60, 86_400, 2 ** 31 - 1])
    expect(await service.status(await service.submit({ max_infer_time: good }))).toMatchObject({ max_infer_time: good })
})

test('unknown extra fields are ignored, however deep', async () => {
  const service = await startService()
  const extra = {
    extra: { a: [1, { b: null }] },
    __proto: 1,
    constructor: 'x',
    toString: 5,
    status: 'completed',
    attempt: 9,
    queue_rank: 1e9,
  }
  expect((await service.register('node-1', { ...extra, status: 'maintenance', key_proven: 1 })).status).toBe(200)
  expect(
    (await service.post('/api/v1/nodes/heartbeat', { node_id: 'node-1', ...extra, status: 'online' })).status,
  ).toBe(200)
  const id = await service.submit(extra)
  expect(await service.status(id)).toMatchObject({ status: 'pending', attempts: 0, result: null })
  // The same content with other extras is the same submission.
  expect((await service.post('/api/v1/tasks', task({ task_id: id, other: 1 }))).body?.data).toEqual({ task_id: id })
  const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`
  const body = JSON.stringify(task({ task_id: 'deep', more: 'X' })).replace('"X"', deep)
  expect((await service.send('POST', '/api/v1/tasks', body, JSON_TYPE)).status).toBe(200)
  await service.poll('node-1')
  expect(
    (
      await service.post('/api/v1/tasks/complete', {
        task_id: id,
        output: 'o',
        confidence: 1,
        inference_node_id: 'node-1',
        ...extra,
      })
    ).status,
  ).toBe(200)
  expect(await service.status(id)).toMatchObject({ status: 'completed' })
})

test('a field named like a part of every object does not reach into it', async () => {
  const service = await startService()
  const body = JSON.stringify(task({ task_id: 'proto', X: 1 })).replace(
    '"X":1',
    '"__proto__":{"fee":7,"is_encrypted":true}',
  )
  expect((await service.send('POST', '/api/v1/tasks', body, JSON_TYPE)).status).toBe(200)
  expect(await service.status('proto')).toMatchObject({ fee: 0 })
})

test('times are Unix seconds as integers', async () => {
  const service = await startService()
  const first = Math.floor(Date.now() / 1000)
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  await service.post('/api/v1/tasks/complete', { task_id: id, output: 'o', confidence: 1, inference_node_id: 'node-1' })
  const t = await service.status(id)
  const node = (await service.get('/api/v1/nodes')).body?.data[0]
  const health = (await service.get('/health')).body?.data
  const last = Math.floor(Date.now() / 1000)
  for (const time of [
    t.created_at,
    t.updated_at,
    t.result.completed_at,
    node.last_heartbeat,
    health.timestamp,
  ] as number[]) {
    expect(Number.isInteger(time)).toBe(true)
    expect(time).toBeGreaterThanOrEqual(first)
    expect(time).toBeLessThanOrEqual(last)
  }
})

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

test('a fault of the server itself is 500 with a request id that the log has next to the cause', async () => {
  const lines: string[] = []
  const database_path = join(tempDir(), 'inference.db')
  const coordinator = createCoordinator({
    settings: inferenceDefaults({ ...calm, database_path, api_port: 0 }),
    log: pino({ level: 'debug' }, { write: (line: string) => lines.push(line) }),
  })
  const { url } = await coordinator.listen()
  onTestFinished(() => coordinator.stop())
  const service = serviceAt(url)
  const db = new Database(database_path)
  onTestFinished(() => void db.close())
  db.exec(
    "CREATE TRIGGER fault BEFORE INSERT ON inference_tasks WHEN new.task_id = 'bad' BEGIN SELECT RAISE(ABORT, 'the inner cause'); END",
  )
  const [bad, good] = await Promise.all([
    service.post('/api/v1/tasks', task({ task_id: 'bad' })),
    service.post('/api/v1/tasks', task({ task_id: 'good' })),
  ])
  expect(bad.status).toBe(500)
  expect(bad.body).toMatchObject({ success: false, data: null, code: 'internal' })
  expect(JSON.stringify(bad.body)).not.toMatch(/inner cause|TRIGGER|SQLITE|at .*\.ts/)
  const requestId = bad.headers.get('x-request-id') ?? ''
  expect(bad.body?.error).toContain(requestId)
  expect(good.status).toBe(200) // what shared its commit is not touched by it
  expect(lines.join('')).toContain('the inner cause')
  expect(lines.filter((line) => line.includes(requestId))).not.toEqual([])
  expect((await service.get('/api/v1/tasks/bad/status')).status).toBe(404)
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ total_tasks: 1, pending_tasks: 1 })
})

test('a service that stops answers 503 with Retry-After to what is new, and takes the results it waits for', async () => {
  const service = await startService({ shutdown_timeout: 20 })
  const node = await connectNode(service, 'node-1')
  await service.register('poller')
  const held = await service.submit()
  const assigned = await node.next('task.assign')
  node.accept(assigned)
  await until(async () => (await service.status(held)).attempts === 1)
  const stopped = service.stop()
  await node.next('session.drain')
  const before = tables(service.file)
  for (const answer of [await service.post('/api/v1/tasks', task()), await service.get('/api/v1/nodes/poller/tasks')]) {
    expectRefusal(answer, 503, 'stopping', /stopping/)
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  }
  // A batch may also name tasks that are known already, so each of its entries has an answer of its own.
  expect(
    (await service.post('/api/v1/tasks/batch', { tasks: [task(), task({ task_id: held })] })).body?.data.results,
  ).toEqual([{ error: expect.stringMatching(/stopping/), code: 'stopping' }, { task_id: held }])
  expect(tables(service.file)).toEqual(before)
  expect((await service.post('/api/v1/tasks', task({ task_id: held }))).status).toBe(200) // known already: nothing new
  node.complete(assigned)
  expect(await node.next('task.settled')).toMatchObject({ task_id: held, status: 'completed' })
  await stopped
})

test('a result is in the file before its answer comes', async () => {
  const service = await startService()
  await service.register('node-1')
  const statusInFile = (id: string) =>
    inspect(service.file, (db) => db.prepare('SELECT status FROM inference_tasks WHERE task_id = ?').pluck().get(id))
  const id = await service.submit()
  expect(statusInFile(id)).toBe('pending')
  await service.poll('node-1')
  expect(statusInFile(id)).toBe('in_progress')
  await service.post('/api/v1/tasks/complete', { task_id: id, output: 'o', confidence: 1, inference_node_id: 'node-1' })
  expect(statusInFile(id)).toBe('completed')
})

test('what a node has declared is in the file before the answer comes', async () => {
  const service = await startService()
  await service.register('node-1')
  await service.post('/api/v1/nodes/heartbeat', { node_id: 'node-1', status: 'maintenance' })
  expect((await service.get('/api/v1/nodes')).body?.data).toMatchObject([{ status: 'maintenance' }])
  expect(inspect(service.file, (db) => db.prepare('SELECT status FROM inference_nodes').pluck().get())).toBe(
    'maintenance',
  )
})
