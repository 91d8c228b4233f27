import * as v from 'valibot'
import { expect, test } from 'vitest'
import { clientServerMessages } from '../../src/wire/client-answers.js'
import { clientMessages } from '../../src/wire/client.js'
import { fit } from '../../src/wire/fields.js'
import { nodeMessages, serverMessages } from '../../src/wire/node.js'
import { batchBody, completeBody, failBody, heartbeatBody, registerBody, submitBody } from '../../src/wire/rest.js'
import { connectClient } from '../support/client-session.js'
import { startService, task } from '../support/service.js'

const MISSING =
  'user_address: is missing; user_input: is missing; infer_fee: is missing; max_infer_time: is missing; model_name: is missing'

test('a submission with nothing in it is told every field that is missing', async () => {
  const service = await startService()
  for (const path of ['/api/v1/tasks/submit', '/api/v1/tasks'])
    expect(await service.post(path, {})).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', error: MISSING },
    })
})

test('each wrong field is named with what is wrong with it, and the right ones are not', async () => {
  const service = await startService()
  const wrong = task({ task_id: 'a/b', infer_fee: -1, max_infer_time: 'soon', is_encrypted: 'yes', model_name: null })
  const { body } = await service.post('/api/v1/tasks/submit', wrong)
  expect(body?.error?.split('; ')).toEqual([
    'task_id: must be 1 to 128 characters without "/" and control characters, and not "." or ".."',
    'infer_fee: must be an integer from 0 to 9007199254740991, as a number or a decimal string',
    'max_infer_time: must be an integer from 1 (seconds)',
    'is_encrypted: must be a boolean',
    'model_name: is missing',
  ])
})

test('a model that is wrong is not called missing, nor is one that is named by its synonym', async () => {
  const service = await startService()
  const said = async (more: object): Promise<string | null | undefined> =>
    (await service.post('/api/v1/tasks', { ...task(), user_input: 1, model_name: undefined, ...more })).body?.error
  expect(await said({ model_name: 5 })).toBe('user_input: must be a string; model_name: must be a string')
  expect(await said({ model_type: 'llama' })).toBe('user_input: must be a string')
})

test('of very many wrong fields ten are named, and the others counted', () => {
  const { needs: _, ...filled } = v.parse(submitBody, task()) // that follows from others
  const fields = Object.keys(filled)
  const everythingWrong = Object.fromEntries([...fields, 'model_type', 'is_encrypted'].map((f) => [f, []]))
  const fitted = fit(submitBody, everythingWrong)
  const parts = fitted.ok ? [] : fitted.problem.split('; ')
  expect(parts).toHaveLength(11)
  expect(parts.at(-1)).toBe('and 5 more fields are wrong')
})

test('an entry of a batch is told all of its wrong fields, and the others are stored', async () => {
  const service = await startService()
  const { body } = await service.post('/api/v1/tasks/batch', { tasks: [{}, task({ task_id: 'good' }), 7] })
  expect(body?.data.results).toMatchObject([
    { code: 'invalid_request', error: MISSING },
    { task_id: 'good' },
    { code: 'invalid_request', error: 'the body must be a JSON object' },
  ])
})

test('a submission in a session is told all of its wrong fields', async () => {
  const service = await startService()
  const client = await connectClient(service)
  client.say({ type: 'task.submit', ref: 'r' })
  expect(await client.next('error')).toMatchObject({
    ref: 'r',
    code: 'invalid_message',
    message: `task.submit: ${MISSING}`,
  })
})

const schemas: [string, v.GenericSchema][] = [
  ...Object.entries({ ...nodeMessages, ...clientMessages, ...serverMessages, ...clientServerMessages }),
  ...Object.entries({ submitBody, batchBody, registerBody, heartbeatBody, completeBody, failBody }),
]

/** The names of the fields of a schema. */
const fieldsOf = (schema: v.GenericSchema): string[] =>
  'entries' in schema && typeof schema.entries === 'object' && schema.entries !== null
    ? Object.keys(schema.entries)
    : []

test.each(schemas)('a list with 65,000 wrong entries is one problem, not 65,000: %s', (_, schema) => {
  const many = Array.from({ length: 65_000 }, () => [{}])
  const fields = fieldsOf(schema)
  expect(fields.length).toBeGreaterThan(0)
  const hostile = Object.fromEntries(fields.map((field) => [field, many]))
  expect(v.safeParse(schema, hostile).issues?.length ?? 0).toBeLessThanOrEqual(3 * fields.length)
  const fitted = fit(schema, hostile)
  expect(fitted.ok ? '' : fitted.problem).toMatch(/^.{0,1200}$/)
})
