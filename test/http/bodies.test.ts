import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { exchange, expectRefusal, JSON_TYPE } from '../support/raw-http.js'
import { startService, task } from '../support/service.js'
import { state } from '../support/stored-state.js'

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
