import { expect, test } from 'vitest'
import { as, OTHER, startGuarded } from '../support/access.js'
import { answeringNode, clientOf, startAsked } from '../support/openai.js'

test('the defaults are those that a request of /v1 has', async () => {
  const service = await startAsked({ user_address: 'ST1-SOMEBODY', infer_fee: 7, max_infer_time: 42 })
  expect((await service.get('/api/v1/defaults')).body?.data).toEqual({
    user_address: 'ST1-SOMEBODY',
    infer_fee: 7,
    max_infer_time: 42,
  })
  await answeringNode(service, 'n', () => ({ output: 'yes' }))
  await clientOf(service).chat.completions.create({ model: 'llama-3-8b', messages: [{ role: 'user', content: '?' }] })
  expect((await service.get('/api/v1/tasks')).body?.data.tasks).toMatchObject([
    { user_address: 'ST1-SOMEBODY', infer_fee: 7, max_infer_time: 42 },
  ])
})

test('the address of a user is that of his token', async () => {
  let user = ''
  const service = await startGuarded({}, (token) => (user = token('user', { owners: [OTHER] })))
  expect((await as(service, user).get('/api/v1/defaults')).body?.data).toMatchObject({ user_address: OTHER })
  expect((await service.get('/api/v1/defaults')).status).toBe(200)
})
