import { chmodSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createAccess } from '../../src/store/access.js'
import { viewAuditRow } from '../../src/store/audit.js'
import { openDatabase } from '../../src/store/open.js'
import { envelope, errorEnvelope } from '../../src/wire/envelope.js'
import { makeToken } from '../../src/wire/token.js'
import { startGuarded } from '../support/access.js'
import { inProcess, refusedInProcess } from '../support/command.js'
import { startHttp } from '../support/http-server.js'
import { startService, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

interface Call {
  method: string
  path: string
  authorization: string | undefined
  body: unknown
}

/** A service as these commands see it: it remembers how it was called, and answers as it is told. */
async function scripted(answer: (call: Call, url: URL) => unknown) {
  const calls: Call[] = []
  const respond = async (request: IncomingMessage) => {
    const url = new URL(request.url ?? '', 'http://service')
    const body = await text(request)
    const call = {
      method: request.method ?? '',
      path: url.pathname,
      authorization: request.headers.authorization,
      body: body === '' ? null : (JSON.parse(body) as unknown),
    }
    calls.push(call)
    return answer(call, url)
  }
  const { url } = await startHttp((request, response) => {
    void respond(request).then((data) => {
      const isRefusal = data instanceof Error
      response.writeHead(isRefusal ? 401 : 200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(isRefusal ? errorEnvelope('unauthorized', data.message) : envelope(data)))
    })
  })
  return { url, calls }
}

const view = {
  id: 'abcd1234',
  role: 'user',
  name: 'wallet-app',
  state: 'active',
  owners: ['ST1'],
  scopes: [],
  limits: {},
  cidrs: null,
  node_id: null,
  uses_left: null,
  created_at: 1,
  created_by: 'token:efgh5678',
  expires_at: null,
  revoked_at: null,
  replaced_by: null,
  last_used_at: null,
}
const nodeKey = {
  public_key: `02${'ab'.repeat(32)}`,
  state: 'banned',
  node_id: 'node-a',
  invited_by: null,
  slots_max: null,
  reason: null,
  replaced_by: null,
  first_seen: 1,
  changed_at: 1,
  changed_by: 'x',
}
const admin = makeToken('adm').token
const KEY = '0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'

test('each command makes the call of its route, with the token', async () => {
  const made = makeToken('usr').token
  const service = await scripted(({ method, path }) => {
    if (method === 'DELETE') return 'Token revoked'
    if (path === '/api/v1/nodes/keys' || /\/(?:ban|rekey)$/.test(path)) return nodeKey
    return { ...view, token: made }
  })
  const run = async (...args: string[]) =>
    (await inProcess([...args, '--url', service.url], { STACKS_SIGNER_TOKEN: admin })).out
  expect(
    await run('tokens', 'create', '--role', 'user', '--name', 'w', '--owner', 'ST1', '--expires', 'never'),
  ).toEqual([made])
  expect(await run('tokens', 'revoke', 'abcd1234')).toEqual(['abcd1234: revoked'])
  expect(await run('tokens', 'rotate', 'abcd1234', '--overlap', '2h')).toEqual([made])
  expect(await run('nodes', 'invite')).toEqual([
    `npx stacks-signer run-inference-node --coordinator ${service.url} --invite ${made}`,
  ])
  await run('nodes', 'allow', KEY, '--slots', '2')
  await run('nodes', 'ban', 'node a', '--reason', 'garbage')
  await run('nodes', 'rekey', 'node-a', KEY)
  expect(service.calls.map(({ method, path, body }) => [method, path, body])).toEqual([
    [
      'POST',
      '/api/v1/tokens',
      expect.objectContaining({ role: 'user', name: 'w', owners: ['ST1'], expires_in: null, limits: {} }),
    ],
    ['DELETE', '/api/v1/tokens/abcd1234', null],
    ['POST', '/api/v1/tokens/abcd1234/rotate', { overlap: 7200 }],
    ['POST', '/api/v1/nodes/invites', { name: 'invite', uses: 1, slots_max: null, expires_in: 86_400 }],
    ['POST', '/api/v1/nodes/keys', { public_key: KEY, slots_max: 2 }],
    ['POST', '/api/v1/nodes/node%20a/ban', { reason: 'garbage' }],
    ['POST', '/api/v1/nodes/node-a/rekey', { public_key: KEY }],
  ])
  for (const { authorization } of service.calls) expect(authorization).toBe(`Bearer ${admin}`)
})

test('an admin is not made over REST: no service is asked', async () => {
  const service = await scripted(() => null)
  const args = ['tokens', 'create', '--role', 'admin', '--name', 'me', '--url', service.url]
  await refusedInProcess(args, 2, ['--role: an admin is made on the machine of the service', '--config FILE'])
  expect(service.calls).toEqual([])
})

test('tokens list asks for page after page', async () => {
  const pages: Record<string, unknown> = {
    '': { tokens: [view], next_cursor: '7' },
    '7': { tokens: [{ ...view, id: 'ijkl9012' }], next_cursor: null },
  }
  const service = await scripted((_, url) => pages[url.searchParams.get('cursor') ?? ''])
  const { json } = await inProcess(['tokens', 'list', '--json', '--url', service.url])
  expect(json().map((t: { id: string }) => t.id)).toEqual(['abcd1234', 'ijkl9012'])
})

test('audit verify computes the chain of what the service shows', async () => {
  const { db, close } = openDatabase(join(tempDir(), 'inference.db'))
  onTestFinished(close)
  const { audit } = createAccess(db)
  const by = { actor: 'token:abcd1234', address: '192.0.2.1', request_id: 'r', at_ms: 5 }
  for (let i = 0; i < 4; i++)
    db.transaction(() =>
      audit.append({ action: 'node.banned', subject: `n${i}`, detail: { node_id: `n${i}`, reason: 'é "x"' } }, by),
    )()
  let lie = false
  const service = await scripted((_, url) => {
    const entries = audit.after(Number(url.searchParams.get('after')), 3).map(viewAuditRow)
    return { entries: entries.map((e) => (lie && e.seq === 4 ? { ...e, actor: 'x' } : e)), next_cursor: null }
  })
  const verify = ['audit', 'verify', '--json', '--url', service.url]
  expect((await inProcess(verify)).json()).toEqual({ ok: true, ...audit.verify() })
  lie = true
  const wrong = await inProcess(verify)
  expect(wrong.code).toBe(1)
  expect(wrong.json()).toMatchObject({ ok: false, head: { seq: 3 }, fault: { seq: 4 } })
})

describe('every command that calls the service', () => {
  test('takes the token of a file before that of the environment, and shows none where there is none', async () => {
    const service = await scripted(() => [])
    const file = join(tempDir(), 'token')
    writeFileSync(file, `${admin}\n`, { mode: 0o600 })
    const list = ['nodes', 'list', '--json', '--url', service.url]
    await inProcess(list)
    await inProcess([...list, '--token-file', file], { STACKS_SIGNER_TOKEN: makeToken('viw').token })
    expect(service.calls.map((c) => c.authorization)).toEqual([undefined, `Bearer ${admin}`])
  })

  test('finds its service in STACKS_SIGNER_URL', async () => {
    const service = await startService()
    const { out } = await inProcess(['nodes', 'list', '--json'], { STACKS_SIGNER_URL: service.url })
    expect(out).toEqual(['[]'])
    await refusedInProcess(['tasks', 'list'], 2, ['STACKS_SIGNER_URL: must be an address'], {
      STACKS_SIGNER_URL: 'nowhere',
    })
  })

  test('refuses a token that is none, without repeating it, and a file that others can read', async () => {
    const mistyped = `${admin.slice(0, -1)}${admin.endsWith('0') ? '1' : '0'}`
    await refusedInProcess(['tasks', 'list'], 2, ['STACKS_SIGNER_TOKEN: holds no token'], {
      STACKS_SIGNER_TOKEN: mistyped,
    })
    const dir = tempDir()
    await refusedInProcess(['tasks', 'list', '--token-file', join(dir, 'none')], 2, ['--token-file', 'cannot be read'])
    if (process.platform === 'win32') return
    const file = join(dir, 'token')
    writeFileSync(file, admin)
    chmodSync(file, 0o644)
    await refusedInProcess(['tasks', 'list', '--token-file', file], 2, ['--token-file', `chmod 600 ${file}`])
  })

  test('says how a token is shown, where none was', async () => {
    const { url } = await startGuarded()
    await refusedInProcess(['tasks', 'list', '--url', url], 1, [
      'this needs a token',
      '--token-file FILE or STACKS_SIGNER_TOKEN',
    ])
  })

  test('shows a viewer the tasks, without what a viewer may not see', async () => {
    const { url, asAdmin } = await startGuarded()
    await asAdmin.post('/api/v1/tasks', task({ task_id: 'A' }))
    const made = await asAdmin.post('/api/v1/tokens', { role: 'viewer', name: 'wall' })
    const env = { STACKS_SIGNER_TOKEN: (made.body?.data as { token: string }).token }
    expect((await inProcess(['tasks', 'list', '--json', '--url', url], env)).json()).toMatchObject({
      tasks: [{ task_id: 'A', user_address: null }],
    })
    const { out } = await inProcess(['tasks', 'show', 'A', '--url', url], env)
    expect(out).toContain('(this token may not read texts)')
    expect(out.join('\n')).not.toContain('ST1')
  })

  test('prints the sentence of a service that does not know its token, and never the token', async () => {
    const service = await scripted(() => new Error('this token is not known here'))
    const env = { STACKS_SIGNER_TOKEN: admin }
    await refusedInProcess(['tokens', 'list', '--url', service.url], 1, ['this token is not known here'], env)
  })
})
