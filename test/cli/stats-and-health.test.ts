import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { durationOf } from '../../src/commands/print.js'
import { cli, configFile, serviceChild } from '../support/child.js'
import { connectNode } from '../support/node-session.js'
import { startService, type Service } from '../support/service.js'

const run = async (service: Pick<Service, 'url'>, ...args: string[]) => {
  const child = cli([...args, '--url', service.url])
  const { code } = await child.exit
  return { code, out: child.out, err: child.err }
}

test('stats counts tasks and nodes', async () => {
  const service = await startService()
  await service.register('n')
  await service.submit()
  await service.submit()
  await service.poll('n')
  const { code, out } = await run(service, 'stats')
  expect(code).toBe(0)
  for (const line of [
    /^tasks +2$/,
    /^ {2}pending +1$/,
    /^ {2}in progress +1$/,
    /^nodes +1$/,
    /^ {2}busy +1$/,
    /^up for +\d/,
  ])
    expect(out).toContainEqual(expect.stringMatching(line))
  const { out: json } = await run(service, 'stats', '--json')
  expect(JSON.parse(json.join('\n'))).toMatchObject({ total_tasks: 2, processing_tasks: 1, busy_nodes: 1 })
})

test('a healthy service is exit code 0, one that stops is 1 with the reason, and so is one that is not there', async () => {
  const service = await serviceChild(configFile('shutdown_timeout = 600'))
  expect(await run(service, 'health')).toEqual({ code: 0, out: ['healthy'], err: [] })
  const node = await connectNode(service, 'n')
  await service.submit()
  node.accept(await node.next('task.assign'))
  service.process.kill('SIGTERM')
  await node.next('session.drain')
  expect(await run(service, 'health')).toEqual({ code: 1, out: ['unhealthy: the service is stopping'], err: [] })
  const { code, out } = await run(service, 'health', '--json')
  expect([code, JSON.parse(out.join('\n'))]).toEqual([1, { status: 'unhealthy', error: 'the service is stopping' }])
  service.process.kill('SIGTERM')
  await service.exit
  expect(await run(service, 'health')).toEqual({
    code: 1,
    out: [expect.stringMatching(/^unhealthy: .*nothing listens there/)],
    err: [],
  })
})

test('a warning of a healthy service is shown, and does not change the exit code', async () => {
  const data = { status: 'healthy', timestamp: 1, warning: 'the certificate ends in 3 days' }
  const server = createServer((_, response) => response.end(JSON.stringify({ success: true, data, error: null })))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  expect(await run({ url }, 'health')).toEqual({
    code: 0,
    out: ['healthy, but: the certificate ends in 3 days'],
    err: [],
  })
})

test('in a cluster it is said who owns the work, and who follows how far', async () => {
  const follower = { url: 'https://c.example', record: 7 }
  const followers = [
    { ...follower, coordinator: 'c2', behind_records: 0, behind_ms: 0 },
    { ...follower, coordinator: 'c3', behind_records: 5, behind_ms: 2100 },
  ]
  const cluster = { coordinator: 'c1', role: 'owner', epoch: 3, record: 12, owner: 'https://c1.example', behind_ms: 0 }
  let now = followers
  const server = createServer((_, response) => {
    const data = { status: 'healthy', timestamp: 1, cluster: { ...cluster, followers: now } }
    response.end(JSON.stringify({ success: true, data, error: null }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const said = 'cluster: c1 owns the work (epoch 3, record 12), '
  expect((await run({ url }, 'health')).out).toEqual([
    'healthy',
    `${said}followed by c2 (level), c3 (5 records and 2.1 s behind)`,
  ])
  now = []
  expect(await run({ url }, 'health')).toEqual({ code: 0, out: ['healthy', `${said}nobody follows`], err: [] })
})

test.each([
  [0, '0 s'],
  [59.9, '59 s'],
  [60, '1 min'],
  [3725, '1 h 2 min'],
  [86_400, '1 d'],
  [90_061, '1 d 1 h'],
])('%d seconds are %s', (seconds, text) => {
  expect(durationOf(seconds)).toBe(text)
})
