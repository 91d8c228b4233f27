import { createECDH } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Database } from '../../src/store/sqlite.js'
import { hashToken, parseToken } from '../../src/wire/token.js'
import { configFile, serviceChild } from '../support/child.js'
import { command, inProcess, refusedCommand, refusedInProcess } from '../support/command.js'
import { inspect } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

/** A configuration whose database is not there yet, and the flags that name it. */
function unused() {
  const dir = tempDir()
  return { dir, file: join(dir, 'inference_tasks.db'), at: ['--config', configFile('', dir)] }
}
const newKey = (): string => {
  const ecdh = createECDH('secp256k1')
  ecdh.generateKeys()
  return ecdh.getPublicKey('hex', 'compressed')
}
const DAY = 86_400

test('before the first start a token is made: its secret alone on standard output, nothing of it anywhere else', async () => {
  const { dir, file, at } = unused()
  const { out, err } = await command(['tokens', 'create', '--role', 'admin', '--name', 'me', ...at])
  const [token = ''] = out
  expect(out).toHaveLength(1)
  const { id, kind } = parseToken(token) ?? {}
  expect(kind).toBe('adm')
  expect(err.join('\n')).toContain(`${id}: admin "me", good until `)
  expect(err.join('\n')).not.toContain(token)

  const rows = inspect(file, (db) => db.prepare<[], { hash: string }>('SELECT * FROM tokens').all())
  expect(rows).toMatchObject([{ id, kind: 'adm', name: 'me', hash: hashToken(token), revoked_at: null }])
  for (const name of readdirSync(dir)) expect(readFileSync(join(dir, name), 'latin1')).not.toContain(token.slice(-38))
  if (process.platform !== 'win32') expect(statSync(file).mode & 0o777).toBe(0o600)
  const service = await serviceChild(at[1] ?? '')
  expect((await service.get('/health')).status).toBe(200)
})

test('a token has what its flags say, and the list shows everything but the secret', async () => {
  const { at } = unused()
  const made = await inProcess([
    ...['tokens', 'create', '--role', 'user', '--name', 'wallet-app', '--owner', 'ST1,ST2', '--expires', '90d'],
    ...[
      '--models',
      'llama,gemma',
      '--rate',
      '50',
      '--max-pending',
      '500',
      '--tasks-per-day',
      '9',
      '--fee-per-day',
      '8',
    ],
    ...['--bytes-per-day', '7', '--cidr', '10.0.0.0/8,2001:db8::/32', '--json', ...at],
  ])
  const { token, ...view } = made.json()
  expect(view).toMatchObject({
    role: 'user',
    state: 'active',
    owners: ['ST1', 'ST2'],
    cidrs: ['10.0.0.0/8', '2001:db8::/32'],
    limits: {
      models: ['llama', 'gemma'],
      rate: 50,
      max_pending: 500,
      tasks_per_day: 9,
      fee_per_day: 8,
      bytes_per_day: 7,
    },
  })
  expect(view.expires_at - view.created_at).toBe(90 * DAY)
  expect(made.err).toEqual([])
  await inProcess(['tokens', 'create', '--role', 'operator', '--name', 'on-call', '--scope', 'texts', ...at])
  await inProcess([
    'tokens',
    'create',
    '--role',
    'node',
    '--name',
    'old',
    '--node',
    'node-001',
    '--expires',
    'never',
    ...at,
  ])

  const list = await inProcess(['tokens', 'list', '--json', ...at])
  expect(list.json().map((t: { role: string }) => t.role)).toEqual(['node', 'operator', 'user'])
  expect(list.json()[2]).toEqual(view)
  const shown = (await inProcess(['tokens', 'list', ...at])).out.join('\n')
  expect(shown).toMatch(new RegExp(`^${view.id} +active +user +wallet-app +ST1,ST2 +\\d{4}-.*Z +-$`, 'm'))
  expect(shown).toMatch(/ +active +node +old +node-001 +- +-$/m)
  for (const secret of [token, hashToken(token)]) expect(shown + list.out.join('\n')).not.toContain(secret)
})

test('while a service runs tokens are made, rotated and revoked, each with its row in the audit', async () => {
  const config = configFile()
  const service = await serviceChild(config)
  await service.submit({ task_id: 'before' })
  const at = ['--config', config]
  const make = async () =>
    parseToken((await command(['tokens', 'create', '--role', 'viewer', '--name', 'wall', ...at])).out[0] ?? '')?.id ??
    ''
  const [a, b] = [await make(), await make()]
  const rotated = await command(['tokens', 'rotate', a, '--overlap', '1h', ...at])
  const c = parseToken(rotated.out[0] ?? '')?.id ?? ''
  expect(rotated.err.at(-1)).toBe(`${a}: stays good for 1h, or until it expires.`)
  expect((await command(['tokens', 'revoke', b, ...at])).out).toEqual([`${b}: revoked`])
  // Tokens are there now, so the service asks for one, and goes on.
  await until(async () => (await service.get('/api/v1/tasks/before')).status === 401)
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ total_tasks: 1 })

  const states = (await inProcess(['tokens', 'list', '--json', ...at])).json()
  expect(states.map((t: { id: string; state: string }) => [t.id, t.state])).toEqual([
    [c, 'active'],
    [b, 'revoked'],
    [a, 'replaced'],
  ])
  expect(states[2].replaced_by).toBe(c)
  const { entries } = (await inProcess(['audit', 'list', '--json', ...at])).json()
  expect(entries.map((e: { action: string; subject: string }) => [e.action, e.subject])).toEqual([
    ['token.revoked', b],
    ['token.rotated', a],
    ['token.created', c],
    ['token.created', b],
    ['token.created', a],
  ])
  for (const { actor } of entries) expect(actor).toMatch(/^cli:./)
  await refusedCommand(['tokens', 'rotate', b, ...at], 1, `${b} is revoked and cannot be rotated`)
  await refusedInProcess(['tokens', 'revoke', 'nobody00', ...at], 1, ['there is no token nobody00'])
  expect((await service.get('/health')).status).toBe(200)
  expect((await command(['audit', 'verify', ...at])).out[0]).toBe('ok  5 rows are as written')
})

test('audit verify names the first row that was changed, with exit code 1, and knows a row that was noted', async () => {
  const { file, at } = unused()
  for (const name of ['one', 'two', 'three'])
    await inProcess(['tokens', 'create', '--role', 'metrics', '--name', name, ...at])
  const first = await inProcess(['audit', 'verify', ...at])
  const noted = /--noted: (\d+:[0-9a-f]{64})$/.exec(first.out[1] ?? '')?.[1] ?? ''
  expect(noted).toMatch(/^3:/)
  expect((await inProcess(['audit', 'verify', '--noted', noted, '--json', ...at])).json()).toMatchObject({ ok: true })

  const edit = (sql: string): void => {
    const db = new Database(file)
    db.exec(sql)
    db.close()
  }
  edit("UPDATE audit SET actor = 'cli:nobody' WHERE seq = 2")
  const verify = await inProcess(['audit', 'verify', '--database', file])
  expect(verify.code).toBe(1)
  expect(verify.out).toEqual([
    'WRONG  row 2 was changed, or is in the place of another; what comes before it is as it was written',
  ])
  edit("DELETE FROM audit; DELETE FROM sqlite_sequence WHERE name = 'audit'")
  expect((await inProcess(['audit', 'verify', ...at])).out).toEqual(['ok  0 rows are as written'])
  const cut = await inProcess(['audit', 'verify', '--noted', noted, '--json', ...at])
  expect(cut.code).toBe(1)
  expect(cut.json()).toMatchObject({
    ok: false,
    fault: { seq: 1, what: 'rows 1 to 3 are missing' },
  })
})

test('the audit is listed by actor, action and subject, a page at a time', async () => {
  const { at } = unused()
  const [a, b] = [newKey(), newKey()]
  for (const key of [a, b]) await inProcess(['nodes', 'allow', key, ...at])
  await inProcess(['nodes', 'ban', a, '--reason', 'garbage', ...at])
  const list = async (...args: string[]) => (await inProcess(['audit', 'list', '--json', ...args, ...at])).json()
  expect((await list('--action', 'node.banned')).entries).toMatchObject([
    { subject: a, detail: { node_id: null, reason: 'garbage' }, outcome: 'done', address: null },
  ])
  expect((await list('--subject', a)).entries.map((e: { seq: number }) => e.seq)).toEqual([3, 1])
  const page = await list('--limit', '2')
  expect((await list('--cursor', page.next_cursor)).entries).toMatchObject([{ seq: 1 }])
  const { out } = await inProcess(['audit', 'list', '--limit', '1', ...at])
  expect(out[2]).toMatch(/^3 +\S+Z +cli:\S+ +- +node\.banned +[0-9a-f]{66} +done +\{.*"garbage"\}$/)
  expect(out.at(-1)).toBe('There are older rows: the same with --cursor 3')
})

test('nodes invite prints the command that a node starts with, and allow, ban and rekey write what they say', async () => {
  const dir = tempDir()
  const config = configFile('public_hosts = ["pool.example.org"]', dir)
  const at = ['--config', config]
  const invite = await inProcess(['nodes', 'invite', '--uses', '3', '--slots', '8', '--expires', '2h', ...at])
  const [, coordinator, token = ''] =
    /run-inference-node --coordinator (\S+) --invite (\S+)$/.exec(invite.out[0] ?? '') ?? []
  expect([invite.out.length, coordinator]).toEqual([1, 'https://pool.example.org'])
  expect(parseToken(token)?.kind).toBe('inv')
  expect(invite.err.join('\n')).not.toContain(token)
  const [view] = (await inProcess(['tokens', 'list', '--json', ...at])).json()
  expect(view).toMatchObject({ role: 'invite', uses_left: 3, limits: { slots_max: 8 } })
  expect(view.expires_at - view.created_at).toBe(7200)

  const [old, next] = [newKey(), newKey()]
  expect((await inProcess(['nodes', 'allow', old, '--slots', '4', ...at])).out).toEqual([`${old}: enrolled`])
  const file = join(dir, 'inference_tasks.db')
  const db = new Database(file)
  db.prepare(
    `INSERT INTO inference_nodes (node_id, endpoint, public_key, key_proven, status, supported_models, performance_score,
      max_concurrent_tasks, transport, last_heartbeat, last_seen_ms) VALUES ('node-a', '', ?, 1, 'online', '[]', 1, 1, 'websocket', 0, 0)`,
  ).run(old)
  db.close()
  expect((await inProcess(['nodes', 'rekey', 'node-a', next, ...at])).out).toEqual([
    `node-a: its key is ${next} from now on`,
  ])
  expect((await inProcess(['nodes', 'ban', 'node-a', '--json', ...at])).json()).toMatchObject({
    public_key: next,
    state: 'banned',
  })
  await refusedInProcess(['nodes', 'ban', 'node-b', ...at], 1, ['there is no node node-b'])
  expect((await inProcess(['audit', 'verify', ...at])).out[0]).toBe('ok  4 rows are as written')
})

test('keys create makes a key file for this user alone, never over another, and says what its loss means', async () => {
  const dir = tempDir()
  const file = join(dir, 'data.key')
  const made = await inProcess(['keys', 'create', file])
  expect(made.out[0]).toMatch(/data\.key: made, with the data key [0-9a-f]{8}$/)
  expect(made.err.join('\n')).toContain('who loses it has lost all texts')
  if (process.platform !== 'win32') expect(statSync(file).mode & 0o777).toBe(0o600)
  const content = readFileSync(file, 'utf8')
  await refusedInProcess(['keys', 'create', file], 2, ['is there already'])
  expect(readFileSync(file, 'utf8')).toBe(content)
  const added = (await inProcess(['keys', 'add', file, '--json'])).json()
  expect(added).toMatchObject({ file, key_id: expect.stringMatching(/^[0-9a-f]{8}$/) })
})

test('wrong usage is one line, exit code 2, and changes nothing', async () => {
  const { file, at } = unused()
  const create = (...args: string[]) => ['tokens', 'create', '--name', 'x', ...args, ...at]
  const wrong: [string[], ...string[]][] = [
    [create('--role', 'root'), '--role', 'admin, operator'],
    [create('--role', 'viewer', '--owner', 'ST1'), '--owner: only a user'],
    [create('--role', 'user', '--owner', 'ST1', '--owner', 'ST2'), '--owner: is there twice', '--owner A,B'],
    [create('--role', 'node'), '--node: a node needs'],
    [create('--role', 'admin', '--scope', 'texts'), '--scope: only an operator'],
    [create('--role', 'operator', '--scope', 'all'), '--scope: must be "texts"'],
    [create('--role', 'viewer', '--max-pending', '5'), 'limits: only a user has max_pending'],
    [create('--role', 'viewer', '--rate', 'much'), '--rate: must be an integer'],
    [create('--role', 'viewer', '--expires', 'soon'), '--expires: must be a time such as 90d'],
    [create('--role', 'viewer', '--expires', '99999d'), '--expires: must be', '3650 days'],
    [create('--role', 'viewer', '--cidr', '10.0.0.0'), '--cidr: must be a network'],
    [['tokens', 'revoke', 'sis_adm_x', ...at], 'ID: must be the id of a token'],
    [['tokens', 'rotate', 'abcd1234', '--overlap', 'never', ...at], '--overlap'],
    [['nodes', 'invite', '--expires', 'never', ...at], '--expires: an invite must end'],
    [['nodes', 'allow', '02nonsense', ...at], 'KEY: must be a secp256k1 public key'],
    [['audit', 'verify', '--noted', '5', ...at], '--noted'],
    [['tokens', 'list', '--url', 'http://127.0.0.1:1', ...at], '--url: goes without --config'],
  ]
  for (const [args, ...parts] of wrong) await refusedInProcess(args, 2, parts)
  await refusedCommand(create('--role', 'user'), 2, '--owner: a user needs the address')
  await refusedCommand(['audit'], 2, 'audit list, audit verify')
  await refusedInProcess(['tokens', 'list', ...at], 1, [`${file}: there is no such database`])
  expect(existsSync(file)).toBe(false)
})
