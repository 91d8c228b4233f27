import { pino } from 'pino'
import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { visible } from '../../src/lib/log.js'
import { harmless, oneLine, table } from '../../src/lib/table.js'
import { systemTime } from '../../src/lib/clock.js'
import { Database } from '../../src/store/sqlite.js'
import { dial, connectNode, hello } from '../support/node-session.js'
import { openSocket } from '../support/test-socket.js'
import { startService, task } from '../support/service.js'

const SECRET = 'prompt was: the SECRET of the user'
const HIDDEN = ['a\u009bb', 'a\u202eb', 'a\u200bb', 'a\u2028b', '\ufeff', 'a\u{e0041}b']

/** A service whose log is kept as lines. */
async function loggedService(level: 'info' | 'debug') {
  const lines: string[] = []
  const log = pino({ level }, { write: (line: string) => void lines.push(line) })
  return { lines, service: await startService({ max_attempts: 1 }, systemTime, { log }) }
}

/** A node of its own name fails a task for good, with a reason of 2,000 characters. */
async function failTask(level: 'info' | 'debug'): Promise<string[]> {
  const { lines, service } = await loggedService(level)
  const node = await connectNode(service, 'worker', { agent: `${SECRET}/1.0` })
  const id = await service.submit()
  const assigned = await node.next('task.assign')
  node.accept(assigned)
  const error = `${SECRET} ${'x'.repeat(2000)}END`
  node.say({ type: 'task.fail', task_id: id, attempt: assigned.attempt, error, retryable: false })
  expect((await service.reaches(id, 'failed')).error).toContain('END')
  await node.beat()
  return lines
}

test('why a node failed a task is not in the log, but how long its words are', async () => {
  const lines = await failTask('info')
  expect(lines.join('')).not.toContain('SECRET')
  const failed = lines.find((line) => line.includes('task.failed')) ?? '{}'
  expect(JSON.parse(failed)).toMatchObject({ level: 40, error_length: expect.any(Number) })
})

test('at debug its words are there, cut', async () => {
  const lines = (await failTask('debug')).filter((line) => line.includes('SECRET'))
  expect(lines.length).toBeGreaterThan(1)
  for (const line of lines) {
    expect(JSON.parse(line)).toMatchObject({ level: 20 })
    expect(line.length).toBeLessThan(500)
  }
})

test('a new node has no ":" in its id, over REST and in a session; one that is known goes on', async () => {
  const service = await startService()
  const { status, body } = await service.register('n:evil.example')
  expect([status, body?.code]).toEqual([400, 'invalid_request'])
  expect(body?.error).toContain('node_id: a new one must have no ":"')
  const node = await dial(service)
  const { nonce } = await node.next('session.challenge')
  node.say(hello(service, 'n:evil.example', nonce))
  expect(await node.next('error')).toMatchObject({ message: expect.stringContaining('must have no ":"') })
  expect((await node.closed).code).toBe(4401)
  expect((await service.get('/api/v1/nodes')).body?.data).toEqual([])

  await service.register('old')
  await service.stop()
  const db = new Database(service.file)
  db.prepare('UPDATE inference_nodes SET node_id = ?, endpoint = ?').run('pool:7', 'a\u202eb')
  db.close()
  const time = fakeTime()
  const again = await startService({ database_path: service.file, node_timeout: 60 }, time)
  expect((await again.register('pool:7')).status).toBe(200)
  expect(await again.poll('pool:7')).toBeNull()
  await time.pass(again, 61) // nobody proves a key for a name that is in use
  await connectNode(again, 'pool:7')
})

test.each(HIDDEN)('ids and addresses that hold what is not seen are refused where they are new: %j', async (hidden) => {
  const service = await startService()
  const answers = [
    await service.register(hidden),
    await service.register('n', { endpoint: hidden }),
    await service.register('n', { node_address: hidden }),
    await service.post('/api/v1/tasks/submit', task({ task_id: hidden })),
    await service.post('/api/v1/tasks/submit', task({ user_address: hidden })),
  ]
  for (const { status, body } of answers) {
    expect([status, body?.code]).toEqual([400, 'invalid_request'])
    expect(body?.error).toMatch(/^(node_id|endpoint|node_address|task_id|user_address): must/)
  }
  const node = await dial(service)
  const { nonce } = await node.next('session.challenge')
  node.say(hello(service, 'n', nonce, { agent: hidden }))
  expect((await node.closed).code).toBe(4401)
  const client = await openSocket<{ type: string; code?: string }>(`ws://${service.host}/api/v1/tasks/connect`, [
    'inference-client.v1',
  ])
  client.say({ type: 'task.submit', ref: 'a', ...task({ user_address: hidden }) })
  expect(await client.next('error')).toMatchObject({ code: 'invalid_message', ref: 'a' })
  // Texts may hold anything.
  expect((await service.post('/api/v1/tasks/submit', task({ user_input: hidden }))).status).toBe(200)
})

test('tables and texts of the command line, and the log of a terminal, show what would move or turn the writing', () => {
  const text = 'a\u001b[2Jb\u009bc\u202ed\u2028e\u200bf\rg'
  const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u
  expect(oneLine(text)).toBe('a\\x1b[2Jb\\x9bc\\u{202e}d\\u{2028}e\\u{200b}f\\x0dg')
  expect(oneLine('a\nb\tc')).toBe('a\\nb\\tc')
  expect(harmless(`${text}\nnext`)).toBe(`${oneLine(text)}\nnext`)
  for (const line of table(['x'], [[text]])) expect(line).not.toMatch(unseen)

  const line = visible(`${JSON.stringify({ msg: text, path: 'C:\\u001b', stack: 'a\nb' })}\n`)
  expect(JSON.parse(line)).toEqual({
    msg: 'a\\u001b[2Jb\\u{9b}c\\u{202e}d\\u{2028}e\\u{200b}f\\rg',
    path: 'C:\\u001b',
    stack: 'a\nb',
  })
  expect(line.endsWith('\n')).toBe(true)
})
