import { expect, test } from 'vitest'
import { type Service, startService, task } from '../support/service.js'
import { until } from '../support/wait.js'
import { fileWith } from '../support/stored-state.js'

const list = async (service: Pick<Service, 'get'>, query = '') =>
  (await service.get(`/api/v1/tasks${query === '' ? '' : `?${query}`}`)).body?.data
const ids = async (service: Pick<Service, 'get'>, query = ''): Promise<string[]> =>
  (await list(service, query)).tasks.map((t: { task_id: string }) => t.task_id)
const whole = expect.toSatisfy((n: unknown) => Number.isInteger(n), 'an integer')

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
  expect(await ids(service, 'limit=1')).toHaveLength(1)
  // How many are found in the time of a page depends on the machine.
  const page = (await ids(service)).length
  expect(page).toBeGreaterThan(0)
  expect(page).toBeLessThanOrEqual(50)
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
