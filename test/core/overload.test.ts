import { Hono } from 'hono'
import { Agent, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { inferenceDefaults } from '../../src/config.js'
import { createBatchSize, MIN_BATCH, MAX_BATCH } from '../../src/core/engine/batch-size.js'
import { createOriginGuard } from '../../src/http/origin-guard.js'
import type { App } from '../../src/http/app.js'
import { createLimits } from '../../src/http/limits.js'
import { createServer } from '../../src/http/server.js'
import { silentLog } from '../../src/lib/log.js'
import { beat, slowCore, submit } from '../support/slow-core.js'
import { openDoors } from '../support/open-doors.js'
import { task } from '../support/service.js'

test('what is at work goes before what is new, and shares its commit', async () => {
  const { turns, next } = slowCore()
  const first = await next()
  for (const o of [submit, beat, submit, beat]) turns.send(o)
  first.answer()
  expect((await next()).operations.map((o) => o.op)).toEqual(['nodeSeen', 'nodeSeen', 'submit', 'submit'])
})

test('a read does not wait behind a crowd, and a crowd of reads does not stop the work', async () => {
  const { turns, next } = slowCore()
  const first = await next()
  for (let i = 0; i < 1000; i++) turns.send(beat)
  for (let i = 0; i < 100; i++) turns.send({ op: 'health' })
  first.answer()
  const second = await next()
  expect(second.operations.map((o) => o.op)).toEqual([
    ...Array.from({ length: MIN_BATCH / 4 }, () => 'health'),
    ...Array.from({ length: (MIN_BATCH * 3) / 4 }, () => 'nodeSeen'),
  ])
})

test('when submissions have waited, a commit takes few of them, and always some', async () => {
  const { turns, next, passes } = slowCore()
  const first = await next()
  for (let i = 0; i < 300; i++) turns.send(submit)
  for (let i = 0; i < 1000; i++) turns.send(beat)
  passes(60)
  first.answer()
  const second = await next()
  expect(second.operations.filter((o) => o.op === 'nodeSeen')).toHaveLength((MIN_BATCH * 3) / 4)
  expect(second.operations.filter((o) => o.op === 'submit')).toHaveLength(MIN_BATCH / 4)
})

test('under more load than is served, submissions are refused at once and everything else is taken', async () => {
  const { turns, next, passes, told } = slowCore()
  const first = await next()
  const waits = turns.call({ op: 'submit', tasks: [] })
  expect(turns.overloaded()).toBe(false)
  passes(181)
  expect(turns.overloaded()).toBe(false) // a burst
  passes(499)
  expect(turns.overloaded()).toBe(false)
  passes(1)
  expect(turns.overloaded()).toBe(true)
  expect(await turns.call({ op: 'submit', tasks: [] })).toMatchObject({ ok: false, code: 'unavailable' })
  turns.send({
    op: 'clientSubmissions',
    session: 7,
    list: [
      {
        type: 'task.submit',
        ref: 'a',
        watch: 'none',
        task: {
          ...task(),
          task_id: null,
          fee: 0,
          nonce: 0,
          signed_tx: null,
          signer_public_key: null,
          is_encrypted: false,
          params: null,
          needs: 0,
        },
      },
    ],
  })
  expect(told).toEqual([
    { session: 7, message: expect.objectContaining({ type: 'error', code: 'unavailable', ref: 'a' }) as unknown },
  ])
  const beats = turns.call({ op: 'heartbeat', node_id: 'n', status: 'online' })
  first.answer()
  const second = await next()
  expect(second.operations.map((o) => o.op)).toEqual(['heartbeat', 'submit'])
  second.answer()
  expect((await waits).ok && (await beats).ok).toBe(true)
  expect(turns.overloaded()).toBe(false)
})

test('a refusal over REST is a 503 with Retry-After, a second later, before the body is read, and the connection goes on', async () => {
  let overloaded = true
  let reached = 0
  const app: App = new Hono()
  app.all('*', async (c) => {
    reached++
    return c.text(String((await c.req.text()).length))
  })
  const guard = createOriginGuard({ apiHost: '127.0.0.1', publicHosts: [], corsOrigins: [], secure: false })
  const server = createServer({
    ...openDoors(false),
    app,
    tls: null,
    guard,
    limits: createLimits(inferenceDefaults({ database_path: 'none.db' }), 0, () => 0),
    log: silentLog(),
    overloaded: () => overloaded,
    upgrade: () => undefined,
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const agent = new Agent({ keepAlive: true, maxSockets: 3 })
  onTestFinished(() => {
    agent.destroy()
    server.close()
  })
  const say = (method: string, path: string, body = '') =>
    new Promise<{ status: number | undefined; retry: string | undefined; text: string }>((resolve, reject) => {
      const asked = request(
        {
          agent,
          method,
          path,
          port: (server.address() as AddressInfo).port,
          headers: { 'content-type': 'application/json' },
        },
        (answer) => {
          let text = ''
          answer.on('data', (d: Buffer) => (text += d.toString()))
          answer.on('end', () => resolve({ status: answer.statusCode, retry: answer.headers['retry-after'], text }))
        },
      )
      asked.on('error', reject)
      asked.end(body)
    })
  const paths = ['/api/v1/tasks', '/api/v1/tasks/submit', '/api/v1/tasks/batch?x=1']
  for (const refused of await Promise.all(paths.map((path) => say('POST', path, 'x'.repeat(100_000))))) {
    expect(refused).toMatchObject({ status: 503, retry: '5' })
    expect(JSON.parse(refused.text)).toMatchObject({ success: false, data: null, code: 'unavailable' })
  }
  expect(reached).toBe(0)
  // What ends work is never refused.
  for (const path of ['/api/v1/tasks/complete', '/api/v1/tasks/fail', '/api/v1/nodes/heartbeat'])
    expect((await say('POST', path, 'abc')).text).toBe('3')
  expect((await say('GET', '/api/v1/tasks')).status).toBe(200)
  const waits = say('POST', '/api/v1/tasks/submit', 'abcd')
  // What comes over another connection later has its answer: so does this one wait.
  expect((await say('GET', '/api/v1/tasks')).status).toBe(200)
  overloaded = false
  expect((await waits).text).toBe('4')
})

test('as many operations share a commit as make it worth its while', () => {
  const size = createBatchSize()
  let now = 0
  const learn = (weight: number, took: { all: number; commit: number }) => size.learn(weight, weight, took, (now += 10))
  expect(size.room()).toBe(MIN_BATCH)
  for (let i = 0; i < 50; i++) learn(100, { all: 0.4 + 2.5, commit: 0.4 })
  expect(size.room()).toBe(MIN_BATCH) // a quick disk: 25 us an operation, 0.4 ms a commit
  expect(size.pause(now)).toBe(0)
  for (let i = 0; i < 50; i++) learn(100, { all: 4.4 + 2.5, commit: 4.4 })
  expect(size.room()).toBeGreaterThan(340)
  expect(size.room()).toBeLessThan(360)
  expect(size.pause(now)).toBeCloseTo(2.2, 1)
  expect(size.pause(now + 1)).toBeCloseTo(1.2, 1)
  for (let i = 0; i < 50; i++) learn(2, { all: 100, commit: 100 })
  expect(size.room()).toBe(MAX_BATCH)
  expect(size.pause(now)).toBe(4)
  size.learn(0, 0, { all: 1, commit: 1 }, now)
  size.learn(5, 5, { all: 1, commit: 0 }, now)
  expect(size.room()).toBe(MAX_BATCH)
})

test('there is no pause between commits that nobody shares, or that come seldom, however slow they are', () => {
  const slow = { all: 10, commit: 8 }
  const size = createBatchSize()
  let now = 0
  for (let i = 0; i < 50; i++) size.learn(1, 1000, slow, (now += 10)) // one batch of a thousand in each
  expect(size.pause(now)).toBe(0)
  for (let i = 0; i < 50; i++) size.learn(100, 100, slow, (now += 10))
  expect(size.pause(now)).toBe(4)
  for (let i = 0; i < 8; i++) size.learn(1, 1, slow, (now += 10))
  expect(size.pause(now)).toBe(0)
  for (let i = 0; i < 50; i++) size.learn(100, 100, slow, (now += 10))
  size.learn(100, 100, slow, (now += 1000))
  expect(size.pause(now)).toBe(0)
})

test('after a burst of slow commits what only reads is answered at once, and a write waits for those that share its commit', async () => {
  const { turns, next } = slowCore({ all: 20, commit: 16 })
  const shares = [beat, beat, beat, beat]
  for (let i = 0; i < 20; i++) {
    for (const o of shares) turns.send(o)
    ;(await next()).answer()
  }
  turns.send(beat)
  void turns.call({ op: 'stats' })
  const read = await next()
  expect(read.operations.map((o) => o.op)).toEqual(['stats'])
  read.answer()
  turns.send(beat)
  expect((await next()).operations.map((o) => o.op)).toEqual(['nodeSeen', 'nodeSeen'])
})

test('a wait that is far too long is refused at once, and one that has become short is no overload any more', async () => {
  const { turns, next, passes } = slowCore()
  const first = await next()
  turns.send(submit)
  passes(1001)
  expect(turns.overloaded()).toBe(true)
  first.answer()
  const second = await next()
  expect(turns.overloaded()).toBe(false)
  turns.send(submit)
  passes(400)
  expect(turns.overloaded()).toBe(false) // counted from anew
  second.answer()
})
