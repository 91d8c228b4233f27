import { expect, test } from 'vitest'
import { OWNER, startGuarded } from '../support/access.js'
import { asked, clientOf, readAll, rejection } from '../support/client.js'
import { startFront } from '../support/front.js'

async function guarded(way: 'session' | 'rest') {
  let user = ''
  const service = await startGuarded({}, (token) => (user = token('user')))
  const front = await startFront(service)
  if (way === 'rest') front.webSockets('refused')
  return { service, front, user }
}

test.each(['session', 'rest'] as const)('by %s a token is shown, and what may not be done is said', async (way) => {
  const { service, front, user } = await guarded(way)
  const client = clientOf(front, { token: user })
  const { task_id } = await client.submit(asked({ user_address: OWNER }))
  expect(await client.get(task_id)).toMatchObject({ user_address: OWNER, status: 'pending' })
  const owners: (string | null)[] = []
  for await (const { user_address } of client.list()) owners.push(user_address)
  expect(owners).toEqual([OWNER])
  expect(await rejection(client.run(asked({ user_address: 'SOMEBODY' })))).toMatchObject({ code: 'forbidden' })

  const nobody = clientOf(front)
  expect(await rejection(nobody.run(asked({ user_address: OWNER })))).toMatchObject({ code: 'unauthorized' })
  expect(await rejection(nobody.get(task_id))).toMatchObject({ code: 'unauthorized' })
  const wrong = clientOf(front, { token: `${user.slice(0, -1)}${user.endsWith('0') ? '1' : '0'}` })
  expect(await rejection(readAll(wrong.stream(asked({ user_address: OWNER }))))).toMatchObject({ code: 'unauthorized' })
  expect((await service.asAdmin.get('/api/v1/stats')).body?.data.total_tasks).toBe(1)
})

test('a token may be made anew whenever one is to be shown', async () => {
  const { front, user } = await guarded('session')
  const shown: string[] = []
  const client = clientOf(front, {
    token: () => {
      shown.push(user)
      return Promise.resolve(user)
    },
  })
  await client.submit(asked({ user_address: OWNER }))
  expect(shown).toHaveLength(1)
  front.cut()
  await client.submit(asked({ user_address: OWNER }))
  expect(shown.length).toBeGreaterThan(1)
  expect((await client.stats()).total_tasks).toBe(2)
  const broken = clientOf(front, { token: () => Promise.reject(new Error('the wallet is locked')) })
  expect(await rejection(broken.run(asked()))).toMatchObject({
    code: 'unauthorized',
    message: expect.stringContaining('the wallet is locked'),
  })
})
