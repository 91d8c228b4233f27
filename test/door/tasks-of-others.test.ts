import { expect, test } from 'vitest'
import type { ClientServerMessage } from '../../src/wire/client-answers.js'
import { as, bearer, idOf, OTHER, OWNER, startGuarded } from '../support/access.js'
import { submission } from '../support/client-session.js'
import { complete, statusAndCode } from '../support/rest-calls.js'
import { task } from '../support/service.js'
import { openSocket } from '../support/test-socket.js'
import { until } from '../support/wait.js'

/** Two users, and a task of the first. */
async function twoUsers() {
  const made: Record<string, string> = {}
  const service = await startGuarded({}, (token) => {
    made['mine'] = token('user')
    made['theirs'] = token('user', { owners: [OTHER] })
    made['viewer'] = token('viewer')
    made['operator'] = token('operator')
    made['reader'] = token('operator', { scopes: ['texts'] })
  })
  const of = (name: string) => as(service, made[name] ?? '')
  const mine = of('mine')
  expect((await mine.post('/api/v1/tasks', task({ task_id: 'A' }))).status).toBe(200)
  return { service, of, mine, theirs: of('theirs'), tokens: made }
}

test("another's task is not there over REST, in the same words as one that is not", async () => {
  const { mine, theirs } = await twoUsers()
  for (const [method, path] of [
    ['GET', '/api/v1/tasks/ID/status'],
    ['GET', '/api/v1/tasks/ID'],
    ['POST', '/api/v1/tasks/ID/cancel'],
    ['POST', '/api/v1/tasks/ID/retry'],
  ] as const) {
    const [taken, none] = await Promise.all(['A', 'B'].map((id) => theirs.send(method, path.replace('ID', id))))
    expect([path, taken?.status, taken?.body]).toEqual([
      path,
      404,
      { ...none?.body, error: none?.body?.error?.replace('task B', 'task A') },
    ])
    expect(none?.body?.code).toBe('task_not_found')
  }
  expect((await mine.get('/api/v1/tasks/A')).body?.data).toMatchObject({ status: 'pending', user_address: OWNER })
})

test('a list holds the tasks of its reader only, whatever it asks for', async () => {
  const { mine, theirs } = await twoUsers()
  await theirs.post('/api/v1/tasks', task({ task_id: 'B', user_address: OTHER }))
  const ids = async (caller: typeof mine, query = '') =>
    (await caller.get(`/api/v1/tasks${query}`)).body?.data.tasks.map((t: { task_id: string }) => t.task_id)
  expect(await ids(mine)).toEqual(['A'])
  expect(await ids(theirs)).toEqual(['B'])
  expect(await ids(theirs, `?user=${OWNER}`)).toEqual([])
})

test('a task_id that another owner has taken is a conflict that compares nothing', async () => {
  const { mine, theirs } = await twoUsers()
  const same = await theirs.post('/api/v1/tasks', task({ task_id: 'A', user_address: OTHER }))
  const other = await theirs.post('/api/v1/tasks', task({ task_id: 'A', user_address: OTHER, user_input: 'else' }))
  expect(same.status).toBe(409)
  expect(other.body).toEqual(same.body)
  expect((await mine.post('/api/v1/tasks', task({ task_id: 'A' }))).status).toBe(200)
})

test('a user submits for its own addresses only', async () => {
  const { theirs } = await twoUsers()
  expect(statusAndCode(await theirs.post('/api/v1/tasks', task()))).toEqual({ status: 403, code: 'forbidden' })
  const { body } = await theirs.post('/api/v1/tasks/batch', { tasks: [task(), task({ user_address: OTHER })] })
  expect(body?.data.results).toEqual([
    expect.objectContaining({ code: 'forbidden' }),
    expect.objectContaining({ task_id: expect.any(String) as string }),
  ])
})

test("another's task cannot be watched or cancelled in a session", async () => {
  const { service, tokens } = await twoUsers()
  const open = (name: string) =>
    openSocket<ClientServerMessage>(`ws://${service.host}/api/v1/tasks/connect`, ['inference-client.v1'], {
      headers: bearer(tokens[name] ?? ''),
    })
  const theirs = await open('theirs')
  theirs.say([
    { type: 'task.watch', task_id: 'A' },
    { type: 'task.cancel', task_id: 'A' },
    submission({ ref: 'same', task_id: 'A', user_address: OTHER }),
    submission({ ref: 'for another' }),
  ])
  expect(await theirs.next('error', { task_id: 'A' })).toMatchObject({ code: 'task_not_found' })
  expect(await theirs.next('error', { task_id: 'A' })).toMatchObject({ code: 'task_not_found' })
  expect(await theirs.next('error', { ref: 'same' })).toMatchObject({ code: 'conflict' })
  expect(await theirs.next('error', { ref: 'for another' })).toMatchObject({ code: 'forbidden' })
  const mine = await open('mine')
  mine.say({ type: 'task.watch', task_id: 'A' })
  expect(await mine.next('task.status')).toMatchObject({ task_id: 'A', status: 'pending' })
})

test('texts are hidden from a viewer and an operator, and shown to one with the scope, which is in the audit', async () => {
  const { service, of } = await twoUsers()
  const seen = async (name: string, path: string) => (await of(name).get(path)).body?.data
  const text = 'What is the capital of France?'
  for (const path of ['/api/v1/tasks/A', '/api/v1/tasks/A/status']) {
    expect(await seen('mine', path)).toMatchObject({ user_input: text, user_address: OWNER })
    expect(await seen('viewer', path)).toMatchObject({
      user_input: null,
      context: null,
      user_address: null,
      nonce: null,
    })
    expect(await seen('operator', path)).toMatchObject({ user_input: null, user_address: OWNER, status: 'pending' })
    expect(await seen('reader', path)).toMatchObject({ user_input: text, user_address: OWNER })
  }
  const { body } = await service.asAdmin.get('/api/v1/audit?subject=A')
  expect(body?.data.entries.length).toBeGreaterThanOrEqual(2)
  expect(JSON.stringify(body)).not.toContain(text)
  expect((await of('viewer').get(`/api/v1/tasks?user=${OWNER}`)).status).toBe(403)
  const lines = (await seen('viewer', '/api/v1/tasks')).tasks as { user_address: unknown }[]
  expect(lines.map((line) => line.user_address ?? null)).toEqual([null])
})

test('nodes are shown without their keys and endpoints to those who lead none', async () => {
  const { service, of } = await twoUsers()
  await until(async () => (await service.asAdmin.get('/api/v1/nodes')).status === 200)
  const invited = await service.asAdmin.post('/api/v1/tokens', { role: 'node', name: 'old', node_id: 'old' })
  const node = as(service, (invited.body?.data as { token: string }).token)
  const registered = await node.post('/api/v1/nodes/register', {
    node_id: 'old',
    endpoint: 'http://192.0.2.1:1',
    public_key: '03placeholder',
    supported_models: ['llama'],
  })
  expect(registered.body).toMatchObject({ success: true })
  const first = async (name: string) => (await of(name).get('/api/v1/nodes')).body?.data[0]
  expect(await first('operator')).toMatchObject({ node_id: 'old', endpoint: 'http://192.0.2.1:1' })
  for (const name of ['mine', 'viewer'])
    expect(await first(name)).toMatchObject({ node_id: 'old', endpoint: null, public_key: null, status: 'online' })
  const page = (await of('mine').get('/api/v1/nodes?limit=5')).body?.data
  expect(page.nodes[0]).toMatchObject({ endpoint: null })
})

test('a session tells a viewer and an operator how a task stands and ended, and its text only to one with the scope, which is in the audit', async () => {
  const { service, tokens } = await twoUsers()
  const open = (name: string) =>
    openSocket<ClientServerMessage>(`ws://${service.host}/api/v1/tasks/connect`, ['inference-client.v1'], {
      headers: bearer(tokens[name] ?? ''),
    })
  const early = await Promise.all(['viewer', 'operator', 'reader'].map(open))
  for (const session of early) {
    session.say({ type: 'task.watch', task_id: 'A', watch: 'output' })
    expect(await session.next('task.status')).toMatchObject({ status: 'pending' })
  }
  const made = await service.asAdmin.post('/api/v1/tokens', { role: 'node', name: 'old', node_id: 'old' })
  const node = as(service, (made.body?.data as { token: string }).token)
  const registered = await node.post('/api/v1/nodes/register', {
    node_id: 'old',
    endpoint: 'http://192.0.2.1:1',
    public_key: '03placeholder',
    supported_models: ['llama-3-8b'],
  })
  expect(registered.body).toMatchObject({ success: true })
  expect((await node.get('/api/v1/nodes/old/tasks')).status).toBe(200)
  expect((await complete(node, 'old', 'A', { output: 'It is Paris.' })).status).toBe(200)
  const ends = async (session: (typeof early)[number]) => {
    const end = await session.next('task.result')
    return [end.status, end.result?.output ?? null]
  }
  const expected = [
    ['completed', null],
    ['completed', null],
    ['completed', 'It is Paris.'],
  ]
  expect(await Promise.all(early.map(ends))).toEqual(expected)
  // Who comes when it has ended is told the same.
  const late = await Promise.all(['viewer', 'operator', 'reader'].map(open))
  for (const session of late) session.say({ type: 'task.watch', task_id: 'A' })
  expect(await Promise.all(late.map(ends))).toEqual(expected)
  const audit = await service.asAdmin.get('/api/v1/audit?subject=A&action=task.texts_read')
  expect(audit.body?.data.entries.map((entry: { actor: string }) => entry.actor)).toEqual(
    Array.from({ length: 2 }, () => `token:${idOf(tokens['reader'] ?? '')}`),
  )
})
