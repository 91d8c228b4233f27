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

test('nodes show has all that is known of a node, also what a newer service says', async () => {
  const node = {
    node_id: 'n',
    status: 'maintenance',
    status_reason: 'the model server is \u001b[1mdown',
    transport: 'websocket',
    supported_models: ['llama-3-8b', 'mistral'],
    in_progress_tasks: 1,
    max_concurrent_tasks: 4,
    drained: true,
    failures_in_row: 2,
    cooled_until: 1_700_000_000,
    average_inference_time: 1.25,
    success_rate: 0.755,
    last_heartbeat: 1_700_000_001,
    public_key: '02ab',
    endpoint: '',
    brand_new: { deep: 1 },
  }
  const server = createServer((_, response) =>
    response.end(JSON.stringify({ success: true, data: [node], error: null })),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  expect((await run({ url }, 'nodes', 'show', 'n')).out.map((line) => line.split(/ {2,}/))).toEqual([
    ['node', 'n'],
    ['status', 'maintenance (drained)'],
    ['reason', 'the model server is \\x1b[1mdown'],
    ['transport', 'websocket'],
    ['models', 'llama-3-8b, mistral'],
    ['tasks', '1 of 4 at once'],
    ['success', '76 %'],
    ['mean time', '1.3 s'],
    ['failures', '2 in a row'],
    ['cooldown', 'until 2023-11-14T22:13:20Z'],
    ['last seen', '2023-11-14T22:13:21Z'],
    ['public key', '02ab'],
    ['brand new', '{"deep":1}'],
  ])
  const { out } = await run({ url }, 'nodes', 'list')
  expect(out[0]).toMatch(/last seen +reason$/)
  expect(out[2]).toMatch(/the model server is \\x1b\[1mdown$/)
})

test('nodes show of a real service, as text and as JSON, and of a node that is not there', async () => {
  const service = await startService()
  await service.register('n')
  expect((await run(service, 'nodes', 'show', 'n')).out).toContainEqual(expect.stringMatching(/^models +llama$/))
  const { out } = await run(service, 'nodes', 'show', 'n', '--json')
  expect(JSON.parse(out.join('\n'))).toEqual((await service.get('/api/v1/nodes')).body?.data[0])
  expect(await run(service, 'nodes', 'show', 'other')).toEqual({
    code: 1,
    out: [],
    err: ['stacks-signer: there is no node other; nodes list has all of them'],
  })
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
