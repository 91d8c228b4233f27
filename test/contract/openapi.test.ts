import { createConfig, lintFromString } from '@redocly/openapi-core'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import * as v from 'valibot'
import { operationOf, restDocument } from '../../src/contract/openapi.js'
import { bare, type Route } from '../../src/contract/route.js'
import { contract, openPath } from '../../src/contract/routes.js'
import type { createRoutes } from '../../src/http/routes.js'
import { done } from '../../src/lib/result.js'
import { submitBody } from '../../src/wire/rest.js'
import { command } from '../support/command.js'
import { differenceOf, expectDocumentedBody, expectDocumentedEvent, expectSchema } from '../support/contract.js'
import { startHttp } from '../support/http-server.js'
import { serviceAt, startService, task } from '../support/service.js'

const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
const published = JSON.parse(read('openapi.json')) as ReturnType<typeof restDocument>

test('the published document is the one the routes make: who changes one decides on the version and runs npm run openapi', () => {
  expect(published).toEqual(JSON.parse(JSON.stringify(restDocument())))
})

test('the service serves the document, and the command prints it', async () => {
  const service = await startService()
  expect((await service.get('/openapi.json')).body).toEqual(published)
  expect((await command(['openapi'])).json()).toEqual(published)
})

/** What the linter says of a document. */
async function lint(source: string, off: readonly string[] = []): Promise<string[]> {
  const rules = Object.fromEntries(off.map((rule) => [rule, 'off' as const]))
  const config = await createConfig({ extends: ['recommended-strict'], rules })
  const problems = await lintFromString({ source, absoluteRef: '/document.json', config })
  return problems.map(({ ruleId, message, location }) => `${ruleId}: ${message} (${location[0]?.pointer})`)
}

test('the linter has nothing to say of either document', async () => {
  expect(await lint(read('openapi.json'))).toEqual([])
  // Who comes says a token at the upgrade, or the first message: there is no other word for it in the document. MIT needs no address.
  expect(await lint(read('node-session.asyncapi.json'), ['security-defined', 'info-license-strict'])).toEqual([])
})

test('the linter sees what is wrong with either', async () => {
  expect(await lint(read('openapi.json').replace('"operationId": "listTasks"', '"operationId": "getTask"'))).toEqual([
    expect.stringMatching(/^operation-operationId-unique/),
  ])
  const broken = read('node-session.asyncapi.json').replace('#/channels/node/messages/node.task.accept', '#/nowhere')
  expect(await lint(broken, ['security-defined', 'info-license-strict'])).toEqual([
    expect.stringMatching(/^no-unresolved-refs/),
  ])
})

test('what a route takes is in the document as its schema has it', () => {
  const { paths, components } = published
  const submit = paths['/api/v1/tasks/submit']?.['post']
  expect(submit?.requestBody?.content['application/json']?.schema).toEqual({ $ref: '#/components/schemas/Submission' })
  const fields = Object.keys(components.schemas['Submission']?.properties ?? {})
  expect(fields).toEqual(Object.keys(submitBody.entries))
  const parameters = paths['/api/v1/tasks']?.['get']?.parameters?.map((p) => [p.name, p.in, p.required])
  expect(parameters).toEqual(
    ['status', 'model', 'user', 'node', 'cursor', 'limit'].map((name) => [name, 'query', false]),
  )
  expect(paths['/api/v1/tasks/{task_id}']?.['get']?.parameters).toEqual([
    expect.objectContaining({ name: 'task_id', in: 'path', required: true }),
  ])
})

test('who is told of an end of a task is shown what he gets', () => {
  for (const path of ['/api/v1/tasks', '/api/v1/tasks/submit'])
    expect(published.paths[path]?.['post']?.callbacks).toEqual({
      taskEnded: { $ref: '#/components/callbacks/TaskEnded' },
    })
  const message = published.components.schemas['CallbackMessage']
  expect(message?.properties?.['data']).toEqual({ $ref: '#/components/schemas/TaskStatus' })
})

test('a route needs a token unless the table of rights lets everybody in', () => {
  const security = (path: string, method: string): unknown =>
    (published.paths[path]?.[method] as { security?: unknown } | undefined)?.security
  expect(security('/health', 'get')).toEqual([])
  expect(security('/api/v1/nodes/tasks', 'post')).toEqual([]) // the signature in the body says who asks
  expect(security('/api/v1/audit', 'get')).toEqual([{ token: [] }])
  expect(security('/api/v1/stats', 'get')).toEqual([{ token: [] }, {}]) // by the settings of the service
  expect(security('/api/v1/tasks/complete', 'post')).toEqual([{ token: [] }, {}])
})

test('a route that speaks as another service does has its errors in that form', () => {
  const failure = v.object({ error: v.object({ message: v.string(), code: v.nullable(v.string()) }) })
  const answers = { 200: bare(['application/json', 'text/event-stream'], v.object({ id: v.string() })) }
  const route = { method: 'POST', path: '/v1/x/:id', action: 'openai', summary: 'x', answers, failure } as const
  const { responses, security, parameters } = operationOf('x', 'Tasks', route) as Record<string, any> // oxlint-disable-line typescript/no-explicit-any -- any field is read
  const schema = responses['401'].content['application/json'].schema
  expect(schema.properties.error.properties).toMatchObject({ message: { type: 'string' } })
  expect(responses.default.content['application/json'].schema).toEqual(schema)
  expect(Object.keys(responses['200'].content)).toEqual(['application/json', 'text/event-stream'])
  expect(responses['200'].content['application/json'].schema.required).toEqual(['id'])
  expect(security).toEqual([{ token: [] }, {}])
  expect(parameters).toEqual([{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }])
})

test('docs/rest.md has every route, and no other', () => {
  const inTable = /^\| `(?:GET|POST|DELETE) .*? \| /gm
  const named = [...read('rest.md').matchAll(inTable)].flatMap(([cell]) =>
    [...cell.matchAll(/`((?:GET|POST|DELETE) [^`?]+)/g)].map(([, route = '']) => route.replaceAll(/\{\w+\}/g, '{}')),
  )
  const served = Object.values(contract)
    .flatMap((table) => Object.values<Route>(table))
    .map(({ method, path }) => `${method} ${openPath(path).replaceAll(/\{\w+\}/g, '{}')}`)
  expect([...new Set(named)].sort()).toEqual(served.sort())
})

test('no two routes have the same method and path, and a table names a route once', () => {
  const routes = Object.values(contract).flatMap((table) => Object.entries<Route>(table))
  const places = routes.map(([, { method, path }]) => `${method} ${openPath(path)}`)
  expect(new Set(places).size).toBe(places.length)
  expect(new Set(routes.map(([name]) => name)).size).toBe(routes.length)
})

test('an answer that is not as the document has it is found', () => {
  const headers = new Headers({ 'content-type': 'application/json' })
  const also = (more: Record<string, string>): Headers => new Headers({ ...Object.fromEntries(headers), ...more })
  const ok = (data: unknown) => ({ status: 200, headers, body: { success: true, data, error: null } })
  const refusal = (status: number, code: string) => ({
    status,
    headers,
    body: { success: false, data: null, error: 'x', code },
  })
  const health = { status: 'healthy', timestamp: 1 }
  const given: [string, string, Parameters<typeof differenceOf>[2], RegExp | null][] = [
    ['GET', '/health', ok(health), null],
    ['GET', '/health?x=1', ok({ ...health, more: 1 }), /GET \/health: 200: \/data must NOT have additional.*"more"/],
    ['GET', '/health', ok({ status: 'healthy' }), /timestamp/],
    ['GET', '/health', { ...ok(health), headers: new Headers() }, /200 is of no content type/],
    ['GET', '/health', { ...ok(health), headers: new Headers({ 'content-type': 'text/html' }) }, /200 is text\/html/],
    ['GET', '/health', { ...ok(health), headers: also({ 'x-task-id': 'a' }) }, /not say the header x-task-id/],
    ['GET', '/health', { ...ok(health), headers: also({ 'x-ignored-query': 'a' }) }, /header x-ignored-query/],
    [
      'GET',
      '/api/v1/tasks/a?b=1',
      { ...refusal(404, 'task_not_found'), headers: also({ 'x-ignored-query': 'b' }) },
      null,
    ],
    ['GET', '/health', { ...ok(health), status: 201 }, /no such status/],
    ['GET', '/nowhere', ok(health), /no such route/],
    ['GET', '/nowhere', refusal(404, 'not_found'), null],
    ['GET', '/nowhere', refusal(404, 'unheard_of'), /code must be equal to one of/],
    ['GET', '/api/v1/tasks/a', refusal(404, 'task_not_found'), null],
    ['GET', '/api/v1/tasks/a', refusal(404, 'node_not_registered'), /not among what it refuses/],
    ['GET', '/api/v1/stats', refusal(404, 'not_found'), /no such status/],
    ['GET', '/api/v1/stats', refusal(400, 'unavailable'), /another status/],
    ['GET', '/api/v1/nodes/n/tasks', { status: 204, headers: new Headers(), body: null }, null],
    ['GET', '/api/v1/nodes/n/tasks', { status: 204, headers, body: {} }, /there is a body/],
  ]
  for (const [method, url, answer, difference] of given) {
    const found = differenceOf(method, url, answer)
    if (difference === null) expect(found).toBeNull()
    else expect(found).toMatch(difference)
  }
})

test('a test that gets such an answer fails', async () => {
  const answer = (data: object): string => JSON.stringify({ success: true, data, error: null })
  let body = answer({ status: 'healthy', timestamp: 1, more: 1 })
  const { url } = await startHttp((_, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(body),
  )
  await expect(serviceAt(url).get('/health')).rejects.toThrow(/GET \/health: 200: \/data must NOT.*"more"/)
  body = answer({ status: 'healthy', timestamp: 1 })
  await expect(serviceAt(url).get('/health')).resolves.toMatchObject({ status: 200 })
})

test('so is an event, a body that was taken, and a callback', () => {
  const events = '/api/v1/tasks/a/events'
  const status = { event: 'status', id: undefined, data: { task_id: 'a', status: 'pending', attempt: 0 } }
  expect(() => expectDocumentedEvent('GET', events, status)).not.toThrow()
  expect(() => expectDocumentedEvent('GET', events, { ...status, event: 'news' })).toThrow(/does not have this event/)
  expect(() => expectDocumentedEvent('GET', events, { ...status, id: '1.2' })).toThrow(/"id"/)
  expect(() => expectDocumentedEvent('GET', events, { ...status, data: { task_id: 'a' } })).toThrow(/status/)
  expect(() => expectDocumentedEvent('POST', '/v1/chat/completions', { data: '[DONE]' })).not.toThrow()
  expect(() => expectDocumentedEvent('POST', '/v1/chat/completions', { data: 'DONE' })).toThrow(/this event/)

  const taken = (body: object) => () => expectDocumentedBody('POST', '/api/v1/tasks?wait=1', JSON.stringify(body))
  expect(taken({ ...task(), unknown: 1 })).not.toThrow()
  expect(taken(task({ infer_fee: '2500', params: { temperature: 0 }, callback_url: null }))).not.toThrow()
  expect(taken(task({ infer_fee: true }))).toThrow(/infer_fee/)

  expect(() => expectSchema('CallbackMessage', { type: 'task.started' })).toThrow(/CallbackMessage: .*\/type must/)
})

/** Never called: what is in it must not compile, and the types are checked with the tests. */
export function unregistered({ get, post, command: order }: ReturnType<typeof createRoutes>): void {
  // @ts-expect-error a route is an entry of the contract, not a path
  get('/api/v1/anything', () => new Response())
  const route = { method: 'POST', path: '/x', action: 'submit', summary: 'x' } as const
  const body = v.object({ name: v.string() })
  // @ts-expect-error it says what it answers
  post({ ...route, body }, 1, () => Promise.resolve(done(task())))
  const answers = { 200: v.object({ count: v.number() }) }
  post({ ...route, body, answers }, 1, ({ name }) => Promise.resolve(done({ count: name.length })))
  // @ts-expect-error and answers that
  post({ ...route, body, answers }, 1, ({ name }) => Promise.resolve(done({ count: name })))
  // @ts-expect-error and takes a body where it is one that has a body
  order({ ...route, body, answers }, () => Promise.resolve(done({ count: 1 })))
}
