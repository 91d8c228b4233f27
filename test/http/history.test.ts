import { drizzle } from 'drizzle-orm/better-sqlite3'
import { migrate } from 'drizzle-orm/better-sqlite3/migrator'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { openDatabase } from '../../src/store/open.js'
import { fakeTime } from '../support/fake-time.js'
import { connectNode } from '../support/node-session.js'
import { type Service, startService, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'
import { Database } from '../../src/store/sqlite.js'

const detailOf = async (service: Pick<Service, 'get'>, id: string) =>
  (await service.get(`/api/v1/tasks/${encodeURIComponent(id)}`)).body?.data
const list = async (service: Pick<Service, 'get'>, query = '') =>
  (await service.get(`/api/v1/tasks${query === '' ? '' : `?${query}`}`)).body?.data
const ids = async (service: Pick<Service, 'get'>, query = ''): Promise<string[]> =>
  (await list(service, query)).tasks.map((t: { task_id: string }) => t.task_id)
const whole = expect.toSatisfy((n: unknown) => Number.isInteger(n), 'an integer')

/** A file with `n` tasks in it, oldest first, made without a service. */
function fileWith(
  n: number,
  row: (i: number) => { status?: string; user?: string; model?: string; fee?: number },
): string {
  const file = `${tempDir()}/inference.db`
  openDatabase(file).close()
  const db = new Database(file)
  const insert =
    db.prepare(`INSERT INTO inference_tasks (task_id, user_address, user_input, context, fee, nonce, infer_fee, max_infer_time, model_type, model_name, model_key, status, attempt, created_at, updated_at, queued_ms, queue_rank)
    VALUES (@id, @user, 'x', '', 0, 0, @fee, 60, @family, @model, @model, @status, 0, @at, @at, @ms, @fee)`)
  const counts = new Map<string, number>()
  db.transaction(() => {
    for (let i = 0; i < n; i++) {
      const { status = 'failed', user = 'u', model = 'llama', fee = 1 } = row(i)
      insert.run({
        id: `t-${i}`,
        user,
        model,
        family: model.startsWith('llama') ? 'llama' : 'gemma',
        status,
        fee,
        at: 1_700_000_000 + i,
        ms: Date.now(),
      })
      counts.set(status, (counts.get(status) ?? 0) + 1)
    }
    for (const [status, tasks] of counts)
      db.prepare(
        'INSERT INTO task_counts (status, tasks) VALUES (?, ?) ON CONFLICT (status) DO UPDATE SET tasks = excluded.tasks',
      ).run(status, tasks)
  })()
  db.close()
  return file
}

test('the detail of a waiting task says everything it was submitted with, and why it waits', async () => {
  const service = await startService()
  await service.submit({
    task_id: 'a',
    user_input: 'frage ✓',
    context: 'zusammenhang',
    fee: 3,
    nonce: 4,
    infer_fee: 5,
    max_infer_time: 6,
    user_address: 'ST1',
    model_name: 'Llama-3-8B',
  })
  const answer = await service.get('/api/v1/tasks/a')
  expect(answer.status).toBe(200)
  expect(answer.body).toEqual({
    success: true,
    error: null,
    data: {
      task_id: 'a',
      status: 'pending',
      user_address: 'ST1',
      user_input: 'frage ✓',
      context: 'zusammenhang',
      model_name: 'Llama-3-8B',
      model_type: 'llama',
      fee: 3,
      nonce: 4,
      infer_fee: 5,
      max_infer_time: 6,
      created_at: whole,
      updated_at: whole,
      error: null,
      txid: null,
      result: null,
      attempts: [],
      earlier_ends: [],
      waiting: { reason: 'no_node_for_model', explanation: expect.stringContaining('Llama-3-8B'), position: 1 },
    },
  })
})

test('the detail lists every attempt with its node, its times, its end, its fault and its usage', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const began = Math.floor(time.wall() / 1000)
  await service.submit({ task_id: 'a' })
  const first = await connectNode(service, 'first')
  const one = await first.next('task.assign')
  await time.pass(service, 2)
  first.accept(one)
  await first.beat()
  await time.pass(service, 3)
  first.say({ type: 'task.fail', task_id: 'a', attempt: 1, error: 'out of memory', retryable: true })
  await first.next('task.settled')
  // It alone serves the model, so it gets the task again; while it works the task does not wait.
  const two = await first.next('task.assign')
  first.accept(two)
  await first.beat()
  expect((await detailOf(service, 'a')).waiting).toBeNull()
  first.say({ type: 'task.fail', task_id: 'a', attempt: 2, error: 'again', retryable: true })
  await first.next('task.settled')
  const three = await first.next('task.assign')
  await time.pass(service, 4)
  first.say({
    type: 'task.complete',
    task_id: 'a',
    attempt: three.attempt,
    output: 'Paris',
    confidence: 0.5,
    usage: { prompt_tokens: 7, completion_tokens: 8 },
  })
  await first.next('task.settled')
  const detail = await detailOf(service, 'a')
  expect(detail).toMatchObject({
    status: 'completed',
    waiting: null,
    earlier_ends: [],
    result: { output: 'Paris', confidence: 0.5, inference_node_id: 'first', completed_at: whole },
  })
  expect(detail.attempts).toEqual([
    {
      attempt: 1,
      node_id: 'first',
      transport: 'websocket',
      assigned_at: began,
      accepted_at: began + 2,
      ended_at: began + 5,
      end: 'failed',
      fault: 'node',
      error: 'out of memory',
      usage: null,
    },
    {
      attempt: 2,
      node_id: 'first',
      transport: 'websocket',
      assigned_at: began + 5,
      accepted_at: began + 5,
      ended_at: began + 5,
      end: 'failed',
      fault: 'node',
      error: 'again',
      usage: null,
    },
    {
      attempt: 3,
      node_id: 'first',
      transport: 'websocket',
      assigned_at: began + 5,
      accepted_at: whole,
      ended_at: began + 9,
      end: 'completed',
      fault: null,
      error: null,
      usage: { prompt_tokens: 7, completion_tokens: 8 },
    },
  ])
  expect(detail.result.completed_at).toBe(detail.attempts[2].ended_at)
})

test('an attempt that was polled says so, and an open one has no end', async () => {
  const service = await startService()
  await service.register('poller')
  await service.submit({ task_id: 'a' })
  await service.poll('poller')
  expect((await detailOf(service, 'a')).attempts).toEqual([
    {
      attempt: 1,
      node_id: 'poller',
      transport: 'rest',
      assigned_at: whole,
      accepted_at: whole,
      ended_at: null,
      end: null,
      fault: null,
      error: null,
      usage: null,
    },
  ])
})

test('the times of an attempt stay what they were when the service stood still afterwards', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const began = Math.floor(time.wall() / 1000)
  await service.register('poller')
  await service.submit({ task_id: 'a' })
  await service.poll('poller')
  await service.post('/api/v1/tasks/complete', {
    task_id: 'a',
    output: 'x',
    confidence: 1,
    inference_node_id: 'poller',
  })
  time.jump(1000)
  const detail = await detailOf(service, 'a')
  expect(detail.attempts[0]).toMatchObject({ assigned_at: began, ended_at: detail.result.completed_at })
})

test('the times of attempts from a file of the first version are found by its clock', async () => {
  const folder = join(tempDir(), 'drizzle')
  cpSync(fileURLToPath(new URL('../../drizzle', import.meta.url)), folder, { recursive: true })
  const journal = join(folder, 'meta', '_journal.json')
  const { entries, ...rest } = JSON.parse(readFileSync(journal, 'utf8')) as { entries: unknown[] }
  writeFileSync(journal, JSON.stringify({ ...rest, entries: entries.slice(0, 1) }))
  const database_path = join(tempDir(), 'inference.db')
  const db = new Database(database_path)
  migrate(drizzle(db), { migrationsFolder: folder })
  db.exec(`
    INSERT INTO inference_tasks (task_id, user_address, user_input, context, fee, nonce, infer_fee, max_infer_time, model_type, model_name, model_key, status, attempt, created_at, updated_at, queued_ms, queue_rank)
      VALUES ('a', 'u', 'x', '', 0, 0, 1, 60, 'llama', 'llama', 'llama', 'failed', 2, 1700000000, 1700000000, 1000, 1);
    INSERT INTO attempts (task_id, attempt, node_id, polled, handouts, assigned_ms, accepted_ms, lease_ms, ended_ms, end, error)
      VALUES ('a', 1, 'n', 0, 0, 1000, NULL, 61000, 6000, 'unaccepted', NULL), ('a', 2, 'n', 1, 1, 7000, 7000, 67000, 9000, 'failed', 'x');
    INSERT INTO task_counts (status, tasks) VALUES ('failed', 1);
    INSERT INTO service_clock (id, alive_ms, alive_at) VALUES (1, 10000, 1700000010)`)
  db.close()
  const service = await startService({ database_path })
  expect((await detailOf(service, 'a')).attempts).toMatchObject([
    { assigned_at: 1_700_000_001, accepted_at: null, ended_at: 1_700_000_006, end: 'unaccepted', fault: null },
    { assigned_at: 1_700_000_007, accepted_at: 1_700_000_007, ended_at: 1_700_000_009, end: 'failed', fault: null },
  ])
})

test('a task that does not exist is 404, and an id that cannot exist is 400', async () => {
  const service = await startService()
  expect(await service.get('/api/v1/tasks/nothing')).toMatchObject({ status: 404, body: { code: 'task_not_found' } })
  for (const id of ['x'.repeat(129), 'a%2Fb', 'a%0Ab'])
    expect(await service.get(`/api/v1/tasks/${id}`)).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', error: expect.stringContaining('task_id') },
    })
})

test('an id of any allowed characters is found', async () => {
  const service = await startService()
  for (const task_id of ['a b', '100%', 'ü?#&', 'cancel', 'status', '..x']) {
    await service.submit({ task_id })
    expect(await detailOf(service, task_id)).toMatchObject({ task_id })
  }
})

test('the list has the newest first, and of each task everything but its texts', async () => {
  const service = await startService()
  for (const task_id of ['a', 'b', 'c']) await service.submit({ task_id, user_address: 'ST9' })
  const { tasks, next_cursor } = await list(service)
  expect(tasks.map((t: { task_id: string }) => t.task_id)).toEqual(['c', 'b', 'a'])
  expect(next_cursor).toBeNull()
  expect(tasks[0]).toEqual({
    task_id: 'c',
    status: 'pending',
    user_address: 'ST9',
    model_name: 'llama-3-8b',
    model_type: 'llama',
    infer_fee: 2500,
    max_infer_time: 60,
    attempt: 0,
    inference_node_id: null,
    created_at: whole,
    updated_at: whole,
    completed_at: null,
    error: null,
  })
})

test('an empty list is an empty page without a next one', async () => {
  expect(await list(await startService())).toEqual({ tasks: [], next_cursor: null })
})

test('each filter keeps what fits it, and together they keep what fits all', async () => {
  const service = await startService()
  await service.register('n1', { max_concurrent_tasks: 9 })
  await service.register('n2', { supported_models: ['gemma'], max_concurrent_tasks: 9 })
  await service.submit({ task_id: 'a', user_address: 'ST1', model_name: 'Llama-3-8B' })
  await service.poll('n1')
  await service.submit({ task_id: 'b', user_address: 'ST2', model_name: 'llama-2' })
  await service.poll('n1')
  await service.submit({ task_id: 'c', user_address: 'ST1', model_name: 'gemma-7b' })
  await service.poll('n2')
  await service.submit({ task_id: 'd', user_address: 'ST1', model_name: 'llama-2' })
  await service.submit({ task_id: 'e', user_address: 'ST2', model_name: 'strange' })
  await service.post('/api/v1/tasks/complete', { task_id: 'a', output: 'x', confidence: 1, inference_node_id: 'n1' })
  await service.post('/api/v1/tasks/fail', { task_id: 'b', error: 'x', retryable: false, inference_node_id: 'n1' })
  expect(await ids(service, 'status=pending')).toEqual(['e', 'd'])
  expect(await ids(service, 'status=completed')).toEqual(['a'])
  expect(await ids(service, 'status=in_progress')).toEqual(['c'])
  expect(await ids(service, 'status=failed')).toEqual(['b'])
  expect(await ids(service, 'status=timeout')).toEqual([])
  expect(await ids(service, 'model=llama')).toEqual(['d', 'b', 'a'])
  expect(await ids(service, 'model=LLAMA-3-8b')).toEqual(['a'])
  expect(await ids(service, 'model=strange')).toEqual(['e'])
  expect(await ids(service, 'user=ST1')).toEqual(['d', 'c', 'a'])
  expect(await ids(service, 'node=n1')).toEqual(['b', 'a']) // also of a task that is no longer with it
  expect(await ids(service, 'node=nobody')).toEqual([])
  expect(await ids(service, 'user=ST1&model=llama&status=completed&node=n1')).toEqual(['a'])
  expect(await ids(service, 'user=ST2&model=llama&status=completed&node=n1')).toEqual([])
  expect(await ids(service, 'user=ST1&limit=2')).toEqual(['d', 'c'])
  expect(await ids(service, 'unheard=of&limit=1')).toEqual(['e'])
})

test('paging gives every task that was there exactly once while new ones arrive', async () => {
  const service = await startService()
  await service.post('/api/v1/tasks/batch', {
    tasks: Array.from({ length: 53 }, (_, i) => task({ task_id: `old-${i}` })),
  })
  const seen: string[] = []
  let cursor: string | null = ''
  for (let page = 0; cursor !== null; page++) {
    const { tasks, next_cursor }: { tasks: { task_id: string }[]; next_cursor: string | null } = await list(
      service,
      `limit=7${cursor === '' ? '' : `&cursor=${cursor}`}`,
    )
    expect(tasks.length).toBeLessThanOrEqual(7)
    seen.push(...tasks.map((t) => t.task_id))
    cursor = next_cursor
    await service.submit({ task_id: `new-${page}` })
  }
  expect(seen).toEqual(Array.from({ length: 53 }, (_, i) => `old-${52 - i}`))
})

test('a page that ends with the last task has no next one', async () => {
  const service = await startService()
  for (const task_id of ['a', 'b']) await service.submit({ task_id })
  expect(await list(service, 'limit=2')).toMatchObject({ tasks: [{}, {}], next_cursor: null })
  const { next_cursor } = await list(service, 'limit=1')
  expect(await list(service, `limit=1&cursor=${next_cursor}`)).toMatchObject({
    tasks: [{ task_id: 'a' }],
    next_cursor: null,
  })
})

/** The tasks of every page, from the newest on. */
async function allIds(service: Pick<Service, 'get'>, query: string): Promise<string[]> {
  const found: string[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: { tasks: { task_id: string }[]; next_cursor: string | null } = await list(
      service,
      `${query}${cursor === '' ? '' : `&cursor=${cursor}`}`,
    )
    found.push(...page.tasks.map((t) => t.task_id))
    cursor = page.next_cursor
  }
  return found
}

test('a rare match is found over several pages, of which each looks at ten thousand tasks at most', async () => {
  const service = await startService({
    database_path: fileWith(25_000, (i) => ({ user: i === 2 || i === 24_000 ? 'rare' : 'u' })),
  })
  expect((await list(service, 'user=rare&cursor=20000')).next_cursor).not.toBeNull()
  expect(await allIds(service, 'user=rare')).toEqual(['t-24000', 't-2'])
  expect(await allIds(service, 'user=nobody')).toEqual([])
})

test('a page holds fifty tasks unless it is told, and a thousand at most', async () => {
  const service = await startService({ database_path: fileWith(1_100, () => ({})) })
  expect(await ids(service)).toHaveLength(50)
  expect(await ids(service, 'limit=1')).toHaveLength(1)
  // How many are found in the time of a page depends on the machine.
  expect((await ids(service, 'limit=1000')).length).toBeLessThanOrEqual(1000)
  expect(await allIds(service, 'limit=1000')).toHaveLength(1100)
})

test('a query that cannot be meant is 400 and names its key', async () => {
  const service = await startService()
  const wrong = [
    'status=done',
    'status=',
    'limit=0',
    'limit=1001',
    'limit=-1',
    'limit=1.5',
    'limit=x',
    'limit=',
    'cursor=x',
    'cursor=-1',
    'cursor=',
    'cursor=1e3',
    'cursor=9999999999999999',
    'model=',
    `model=${'m'.repeat(129)}`,
    'user=',
    `user=${'u'.repeat(257)}`,
    'node=',
    'node=a%2Fb',
    'node=..',
  ]
  for (const query of wrong) {
    expect(await service.get(`/api/v1/tasks?${query}`), query).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', error: expect.stringContaining(query.split('=')[0] ?? '') },
    })
  }
})

test('a cursor before the first task gives an empty last page', async () => {
  const service = await startService()
  await service.submit()
  expect(await list(service, 'cursor=0')).toEqual({ tasks: [], next_cursor: null })
  expect((await list(service, 'cursor=999999999999999')).tasks).toHaveLength(1)
})

test('a waiting task says that no node serves its model, that none is online, that all are busy, or that it is next', async () => {
  const service = await startService()
  const why = async (id: string) => (await detailOf(service, id)).waiting
  await service.submit({ task_id: 'a' })
  expect(await why('a')).toMatchObject({ reason: 'no_node_for_model', position: 1 })
  await service.register('gemma', { supported_models: ['gemma'] })
  expect(await why('a')).toMatchObject({ reason: 'no_node_for_model' })
  await service.register('n')
  await service.post('/api/v1/nodes/heartbeat', { node_id: 'n', status: 'maintenance' })
  expect(await why('a')).toMatchObject({
    reason: 'no_node_online',
    explanation: expect.stringContaining('1 registered node'),
  })
  await service.post('/api/v1/nodes/heartbeat', { node_id: 'n', status: 'online' })
  expect(await why('a')).toMatchObject({ reason: 'next' })
  await service.poll('n')
  await service.submit({ task_id: 'b' })
  expect(await why('b')).toMatchObject({ reason: 'all_busy', position: 1 })
  await service.post('/api/v1/tasks/fail', { task_id: 'a', inference_node_id: 'n', error: 'x' })
  expect(await why('a')).toMatchObject({ reason: 'next', position: 1 }) // no other node could take it, so this one may
  expect(await why('b')).toMatchObject({ reason: 'next', position: 2 })
  await service.register('m')
  expect((await service.poll('m')).task_id).toBe('a')
  await service.register('k')
  await service.submit({ task_id: 'c', infer_fee: 9999 })
  expect((await service.poll('k')).task_id).toBe('c')
  await service.post('/api/v1/tasks/fail', { task_id: 'a', inference_node_id: 'm', error: 'x' })
  expect((await service.poll('m')).task_id).toBe('b')
  // n is free and has failed it, m has failed it and is busy, k would take it and is busy.
  expect(await why('a')).toMatchObject({ reason: 'waits_for_another_node' })
})

test('a waiting task says that the only node rests or is drained', async () => {
  const service = await startService()
  await service.register('n')
  await service.send('POST', '/api/v1/nodes/n/drain')
  await service.submit({ task_id: 'a' })
  expect((await detailOf(service, 'a')).waiting).toMatchObject({
    reason: 'no_node_online',
    explanation: expect.stringContaining('drained'),
  })
})

test('the position counts what goes before: higher fees, and older tasks of the same fee, of the same family', async () => {
  const service = await startService()
  const position = async (id: string): Promise<unknown> => (await detailOf(service, id)).waiting.position
  await service.submit({ task_id: 'cheap', infer_fee: 1 })
  await service.submit({ task_id: 'old', infer_fee: 5, model_name: 'llama-2' })
  await service.submit({ task_id: 'young', infer_fee: 5 })
  await service.submit({ task_id: 'dear', infer_fee: 9 })
  await service.submit({ task_id: 'other family', infer_fee: 100, model_name: 'gemma' })
  await service.submit({ task_id: 'strange', infer_fee: 1, model_name: 'strange-1' })
  await service.submit({ task_id: 'stranger', infer_fee: 100, model_name: 'strange-2' })
  expect(await Promise.all(['dear', 'old', 'young', 'cheap', 'strange'].map(position))).toEqual([1, 2, 3, 4, 1])
})

test('the position is exact up to a thousand and "1000+" beyond', async () => {
  // Half of the tasks pay more than the rest, so that both parts of the count matter.
  const service = await startService({
    database_path: fileWith(1_002, (i) => ({ status: 'pending', fee: i < 500 ? 1 : 2 })),
    max_queue_time: 0,
  })
  const position = async (id: string): Promise<unknown> => (await detailOf(service, id)).waiting.position
  expect(await position('t-500')).toBe(1)
  expect(await position('t-1001')).toBe(502)
  expect(await position('t-0')).toBe(503)
  expect(await position('t-497')).toBe(1000)
  expect(await position('t-498')).toBe('1000+')
  expect(await position('t-499')).toBe('1000+')
})

test('the list and the detail take nothing but GET', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  const refused: [string, string, string][] = [
    ['DELETE', '/api/v1/tasks/a', 'GET, HEAD'],
    ['POST', '/api/v1/tasks/a', 'GET, HEAD'],
    ['PUT', '/api/v1/tasks', 'POST, GET, HEAD'],
    ['GET', '/api/v1/tasks/submit', 'POST'],
    ['GET', '/api/v1/tasks/batch', 'POST'],
    ['GET', '/api/v1/tasks/complete', 'POST'],
    ['GET', '/api/v1/tasks/fail', 'POST'],
    ['POST', '/api/v1/tasks/a/status', 'GET, HEAD'],
  ]
  for (const [method, path, allow] of refused) {
    const answer = await service.send(method, path)
    expect(answer, `${method} ${path}`).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } })
    expect(answer.headers.get('allow')?.split(', ').sort()).toEqual(allow.split(', ').sort())
  }
  expect((await service.send('HEAD', '/api/v1/tasks/a')).status).toBe(200)
})

test('a list of a running service and what the file says are the same after a restart', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  await service.submit({ task_id: 'b' })
  const before = await list(service)
  await service.stop()
  const again = await startService({ database_path: service.file })
  await until(async () => (await again.get('/health')).status === 200)
  expect(await list(again)).toEqual(before)
})
