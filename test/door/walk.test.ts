import { expect, test } from 'vitest'
import type { Route } from '../../src/contract/route.js'
import { contract } from '../../src/contract/routes.js'
import { createApp } from '../../src/http/app.js'
import { may, type Action } from '../../src/rules/access.js'
import { roles, type Role } from '../../src/rules/roles.js'
import { clientMessages } from '../../src/wire/client.js'
import { nodeMessages } from '../../src/wire/node.js'
import { as, bearer, startGuarded } from '../support/access.js'
import { submission } from '../support/client-session.js'
import { challenged } from '../support/node-session.js'
import { openDoors } from '../support/open-doors.js'
import { task } from '../support/service.js'
import { until } from '../support/wait.js'
import { openSocket } from '../support/test-socket.js'

/** Every route: what it is in the table of access, and a request that fits it. What a signature in the body decides is `signed`. */
interface Walked {
  action: Action | 'signed'
  path?: string
  body?: unknown
}
const result = { task_id: 't', inference_node_id: 'n1' }
const signed = { timestamp: 1, signature: 'ab' }
const routes: Record<string, Walked> = {
  'POST /api/v1/nodes/register': {
    action: 'register',
    body: { node_id: 'n1', endpoint: '', public_key: '03placeholder', supported_models: ['gemma'] },
  },
  'POST /api/v1/nodes/heartbeat': { action: 'heartbeat', body: { node_id: 'n1', status: 'online' } },
  'GET /api/v1/nodes/:node_id/tasks': { action: 'poll', path: '/api/v1/nodes/n1/tasks' },
  'POST /api/v1/nodes/tasks': { action: 'signed', body: { node_id: 'n1', ...signed } },
  'POST /api/v1/tasks/complete': { action: 'complete', body: { ...result, output: 'x', confidence: 1 } },
  'POST /api/v1/tasks/fail': { action: 'fail', body: { ...result, error: 'x' } },
  'GET /api/v1/nodes': { action: 'nodes' },
  'GET /api/v1/nodes/:node_id': { action: 'nodes', path: '/api/v1/nodes/n2' },
  'GET /metrics': { action: 'metrics' },
  'GET /api/v1/models': { action: 'models' },
  'GET /api/v1/overview': { action: 'overview' },
  'GET /api/v1/configuration': { action: 'configuration' },
  'GET /api/v1/events': { action: 'events', path: '/api/v1/events?types=x' },
  'GET /api/v1/nodes/connect': { action: 'connect' },
  'GET /api/v1/tasks/connect': { action: 'connect' },
  'POST /api/v1/nodes/:node_id/drain': { action: 'drain', path: '/api/v1/nodes/n1/drain' },
  'POST /api/v1/nodes/:node_id/resume': { action: 'resume', path: '/api/v1/nodes/n1/resume' },
  'DELETE /api/v1/nodes/:node_id': { action: 'forget', path: '/api/v1/nodes/n2' },
  'POST /api/v1/tasks/submit': { action: 'submit', body: task() },
  'POST /api/v1/tasks': { action: 'submit', body: task() },
  'POST /api/v1/tasks/batch': { action: 'submit', body: { tasks: [task()] } },
  'POST /api/v1/tasks/:task_id/cancel': { action: 'cancel', path: '/api/v1/tasks/none/cancel' },
  'POST /api/v1/tasks/:task_id/retry': { action: 'retry', path: '/api/v1/tasks/none/retry' },
  'GET /api/v1/tasks': { action: 'list' },
  'GET /api/v1/tasks/:task_id': { action: 'taskDetail', path: '/api/v1/tasks/none' },
  'GET /api/v1/tasks/:task_id/status': { action: 'task', path: '/api/v1/tasks/none/status' },
  'POST /v1/chat/completions': {
    action: 'openai',
    body: { model: 'none', messages: [{ role: 'user', content: 'q' }] },
  },
  'POST /v1/completions': { action: 'openai', body: { model: 'none', prompt: 'q' } },
  'POST /v1/embeddings': { action: 'openai', body: { model: 'none', input: 'q' } },
  'GET /v1/models': { action: 'models' },
  'GET /v1/models/:model': { action: 'models', path: '/v1/models/gemma' },
  'GET /api/v1/tasks/:task_id/events': { action: 'taskEvents', path: '/api/v1/tasks/none/events' },
  'GET /api/v1/tasks/:task_id/receipt': { action: 'receipt', path: '/api/v1/tasks/none/receipt' },
  'GET /api/v1/settlements': { action: 'settlements' },
  'GET /api/v1/settlements/:task_id': { action: 'settlements', path: '/api/v1/settlements/none' },
  'POST /api/v1/settlements/:task_id/retry': { action: 'settlementRetry', path: '/api/v1/settlements/none/retry' },
  'GET /api/v1/callbacks': { action: 'callbacks' },
  'POST /api/v1/tasks/:task_id/callback/retry': {
    action: 'callbackRetry',
    path: '/api/v1/tasks/none/callback/retry',
  },
  'POST /api/v1/delegations': {
    action: 'delegations.add',
    body: { node_key: 'x', address: 'x', public_key: 'x', signature: 'x' },
  },
  'GET /api/v1/delegations': { action: 'delegations.list' },
  'DELETE /api/v1/delegations/:node_key': { action: 'delegations.revoke', path: '/api/v1/delegations/x' },
  'POST /api/v1/tasks/status': { action: 'signed', body: { task_id: 'none', public_key: 'x', ...signed } },
  'GET /api/v1/tokens': { action: 'tokens.list' },
  'POST /api/v1/tokens': { action: 'tokens.create', body: { role: 'viewer', name: 'made in the walk' } },
  'DELETE /api/v1/tokens/:id': { action: 'tokens.revoke', path: '/api/v1/tokens/zzzzzzzz' },
  'POST /api/v1/tokens/:id/rotate': { action: 'tokens.rotate', path: '/api/v1/tokens/zzzzzzzz/rotate', body: {} },
  'POST /api/v1/nodes/invites': { action: 'nodes.invite', body: {} },
  'POST /api/v1/nodes/keys': { action: 'nodes.allow', body: { public_key: `02${'79'.repeat(32)}` } },
  'POST /api/v1/nodes/:id/ban': { action: 'nodes.ban', path: '/api/v1/nodes/n2/ban', body: {} },
  'POST /api/v1/nodes/:id/rekey': { action: 'nodes.rekey', path: '/api/v1/nodes/n2/rekey', body: { public_key: 'x' } },
  'GET /api/v1/audit': { action: 'audit.list' },
  'GET /api/v1/alerts': { action: 'alerts' },
  'POST /api/v1/auth/challenge': { action: 'signIn', body: { address: 'x' } },
  'POST /api/v1/auth/token': { action: 'signIn', body: {} },
  'GET /api/v1/stats': { action: 'stats' },
  'GET /api/v1/asyncapi.json': { action: 'documents' },
  'GET /openapi.json': { action: 'documents' },
  'GET /docs': { action: 'documents' },
  'GET /docs/:file': { action: 'documents', path: '/docs/start.js' },
  'GET /': { action: 'documents' },
  'GET /dashboard': { action: 'documents' },
  'GET /dashboard/assets/:file': { action: 'documents', path: '/dashboard/assets/none.js' },
  'GET /dashboard/:view': { action: 'documents', path: '/dashboard/tasks' },
  'GET /api/v1/encryption/public-key': { action: 'encryptionKey' },
  'GET /api/v1/defaults': { action: 'documents' },
  'GET /health': { action: 'health' },
}

/** The routes of the app, their parameters without what they may not be. */
function routesOfApp(): string[] {
  const app = createApp({
    ...openDoors(),
    publicHosts: [],
    call: () => {
      throw new Error('nothing is asked')
    },
    log: { error: () => undefined },
    asyncapi: {},
    wall: () => 0,
    maxBodyBytes: 1,
    maxMessageBytes: 1,
    maxOutputBytes: 1,
  })
  const all = app.routes.map(({ method, path }) => `${method} ${path.replace(/\{.*\}$/, '')}`)
  return [...new Set(all.filter((route) => !route.startsWith('ALL ')))]
}

test('every route of the app is in the table', () => {
  expect(routesOfApp().sort()).toEqual(Object.keys(routes).sort())
})

test('the contract has every route of the app, no other, and each as what it is in the table', () => {
  const registered = Object.values(contract).flatMap((table) => Object.values<Route>(table))
  const actions = registered.map(({ method, path, action }) => [`${method} ${path.replace(/\{.*\}$/, '')}`, action])
  expect(actions).toHaveLength(Object.keys(routes).length)
  expect(Object.fromEntries(actions)).toEqual(
    Object.fromEntries(
      Object.entries(routes).map(([route, { action }]) => [route, action === 'signed' ? 'signature' : action]),
    ),
  )
})

/** Clients of OpenAI's API have errors of another form, and two names for this one. */
const codeOf = (body: { code?: string; error?: unknown } | null): string | undefined => {
  const { error } = body ?? {}
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : body?.code
  return code === 'invalid_api_key' ? 'unauthorized' : (code as string | undefined)
}

const kinds = roles.filter((role) => role !== 'public' && role !== 'admin')

/** A service and a token of every kind. */
async function everyKind(settings: Parameters<typeof startGuarded>[0] = {}) {
  const tokens = new Map<Role, string | null>([['public', null]])
  const service = await startGuarded(settings, (token) => {
    for (const role of kinds) tokens.set(role, token(role))
  })
  tokens.set('admin', service.admin)
  return { service, tokens }
}
const policyOf = (anonymousSubmit: boolean, publicStats: boolean) => ({ anonymousSubmit, publicStats })

test.each([
  { name: 'as configured by default', auth: {}, policy: policyOf(false, true) },
  {
    name: 'with anonymous submissions and without public counters',
    auth: { anonymous_submit: true, public_stats: false },
    policy: policyOf(true, false),
  },
])('no route is open to anybody that the table does not let in: $name', async ({ auth, policy }) => {
  const { service, tokens } = await everyKind({ auth: { ...authDefaults, ...auth } })
  const wrong: unknown[] = []
  for (const [role, token] of tokens) {
    const caller = as(service, token)
    for (const [route, { action, path, body }] of Object.entries(routes)) {
      const [method = '', pattern = ''] = route.split(' ')
      const json = body === undefined ? null : JSON.stringify(body)
      const answer = await caller.send(
        method,
        path ?? pattern,
        json,
        json === null ? {} : { 'content-type': 'application/json' },
      )
      if (action === 'signed') {
        // The time is long over, whoever sends it.
        if (!/expired/.test(answer.body?.error ?? '')) wrong.push([role, route, answer.status])
        continue
      }
      const allowed = may({ role, scopes: [] }, action, policy) !== null
      const expected = allowed ? 'in' : role === 'public' ? '401 unauthorized' : '403 forbidden'
      const given = [401, 403].includes(answer.status) ? `${answer.status} ${codeOf(answer.body)}` : 'in'
      if (given !== expected) wrong.push([role, route, expected, answer.status, answer.body])
      if (answer.status === 401 && answer.headers.get('www-authenticate') !== 'Bearer')
        wrong.push([role, route, 'header'])
      if (answer.status >= 500) wrong.push([role, route, answer.status, answer.body])
    }
  }
  expect(wrong).toEqual([])
})
const authDefaults = {
  mode: 'auto' as const,
  anonymous_submit: false,
  public_stats: true,
  enrolment: undefined,
  probation_max_fee: 1_000_000,
  legacy_unsigned: [],
}

/** The messages of a submitter: what each is in the table, and one that fits. */
const messages: Record<string, { action: Action | null; message: Record<string, unknown> }> = {
  'session.auth': { action: null, message: { token: 'x' } },
  'task.submit': { action: 'submit', message: submission({ watch: 'none' }) },
  'task.watch': { action: 'watch', message: { task_id: 'none' } },
  'task.unwatch': { action: null, message: { task_id: 'none' } },
  'task.cancel': { action: 'cancel', message: { task_id: 'none' } },
}

test('no message of a submitter does more than the table lets its sender', async () => {
  expect(Object.keys(messages)).toEqual(expect.arrayContaining(Object.keys(clientMessages)))
  const { service, tokens } = await everyKind()
  for (const [role, token] of tokens) {
    const socket = await openSocket<{ type: string; code?: string }>(
      `ws://${service.host}/api/v1/tasks/connect`,
      ['inference-client.v1'],
      { headers: bearer(token) },
    )
    await socket.next('session.welcome')
    for (const [type, { action, message }] of Object.entries(messages)) {
      if (action === null) continue
      socket.say({ type, ...message })
      const { code = 'none', type: answer } = await until(() => socket.inbox.pop(), `an answer to ${type} of ${role}`)
      const allowed = may({ role, scopes: [] }, action, policyOf(false, true)) !== null
      const refused = role === 'public' ? 'unauthorized' : 'forbidden'
      expect([role, type, code === 'unauthorized' || code === 'forbidden' ? code : 'in']).toEqual([
        role,
        type,
        allowed ? 'in' : refused,
      ])
      if (type === 'task.submit' && allowed) expect(answer).toBe('task.submitted')
    }
  }
})

test('a token opens no session of a node: every message but a signed hello closes it', async () => {
  const { service, tokens } = await everyKind()
  const closes = async (token: string | null, type: string): Promise<number> => {
    const { node } = await challenged(service, { headers: bearer(token) })
    node.say({ type, node_id: 'n1', public_key: 'x', signature: 'x', supported_models: [] })
    return (await node.closed).code
  }
  for (const token of [null, tokens.get('node') ?? null, tokens.get('admin') ?? null])
    for (const type of Object.keys(nodeMessages)) expect([type, await closes(token, type)]).toEqual([type, 4401])
})
