import { expect, test } from 'vitest'
import { secretFor } from '../../src/callbacks/signing.js'
import { callbackIs, SECRET, startCalling, startReceiver, status } from '../support/callback-receiver.js'
import { configFile, signer } from '../support/child.js'
import { command, inProcess, refusedCommand, refusedInProcess } from '../support/command.js'
import { tempDir } from '../support/temp-dir.js'
import { startService } from '../support/service.js'

const WHEN = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`
const callbacks = (...words: string[]) => ['tasks', 'callbacks', ...words]

test('tasks callbacks list prints a table, filters by state, and retry sends one again', async () => {
  const receiver = await startReceiver(status(410))
  const service = await startCalling()
  const at = ['--url', service.url]
  for (const task_id of ['task-1', 'task-2']) {
    await service.submit({ task_id, callback_url: receiver.hook })
    await service.post(`/api/v1/tasks/${task_id}/cancel`, {})
    await callbackIs(service, task_id, 'dead')
  }
  await service.submit({ task_id: 'task-3', callback_url: receiver.hook })
  const all = await inProcess(callbacks('list', ...at))
  expect(all.out[0]).toMatch(/^task +state +host +failed tries +next try +ended +error$/)
  expect(all.out.slice(2).map((line) => line.split(/ {2,}/).slice(0, 3))).toEqual([
    ['task-3', 'waiting', '127.0.0.1'],
    ['task-2', 'dead', '127.0.0.1'],
    ['task-1', 'dead', '127.0.0.1'],
  ])
  expect(all.out[3]).toMatch(new RegExp(`  1 +- +${WHEN} +the receiver has answered 410: it wants no more of it$`))
  const dead = await inProcess(callbacks('list', '--state', 'dead', '--limit', '1', ...at))
  expect(dead.out.at(-1)).toBe('There are older ones: the same with --cursor task-2')
  const rest = await inProcess(callbacks('list', '--state', 'dead', '--cursor', 'task-2', '--json', ...at))
  expect(rest.json()).toMatchObject({ callbacks: [{ task_id: 'task-1', url: receiver.hook }], next_cursor: null })

  receiver.answers(status(200))
  expect((await inProcess(callbacks('retry', 'task-1', ...at))).out).toEqual(['task-1: its callback is sent again now'])
  await callbackIs(service, 'task-1', 'delivered')
  await refusedInProcess(callbacks('retry', 'task-1', ...at), 1, ['was delivered'])
  await refusedInProcess(callbacks('retry', 'task-3', ...at), 1, ['has not ended yet'])
  await refusedInProcess(callbacks('list', '--state', 'lost', ...at), 2, ['--state: must be one of waiting'])

  const shown = (await inProcess(['tasks', 'show', 'task-2', ...at])).out
  expect(shown).toContainEqual(
    expect.stringMatching(
      /^callback +dead, 1 failed try: the receiver has answered 410.*; http:\/\/127\.0\.0\.1:\d+\/hook$/,
    ),
  )
})

test('tasks submit takes a callback-url, and refuses what is none', async () => {
  const service = await startCalling()
  const words = ['tasks', 'submit', '--model', 'llama', '--user', 'ST1', '--prompt', 'x', '--url', service.url]
  const { out } = await inProcess([...words, '--callback-url', 'https://example.org/hook'])
  expect(await service.status(out[0] ?? '')).toMatchObject({ callback: { url: 'https://example.org/hook' } })
  await refusedInProcess([...words, '--callback-url', 'example.org'], 2, [
    '--callback-url: must be an http or https URL',
  ])
})

test('tasks callbacks secret prints what the callbacks of a token, a wallet or nobody are signed with', async () => {
  const head = `${signer}\n[callbacks]\nsecret = "${SECRET}"\n`
  const config = ['--config', configFile('', tempDir(), head)]
  const [token, address] = ['AbCd1234', 'ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM']
  const secret = async (...words: string[]) => (await inProcess(callbacks('secret', ...words, ...config))).out
  expect(await secret()).toEqual([SECRET])
  expect(await secret('--token', token)).toEqual([secretFor(SECRET, `token:${token}`)])
  expect(await secret('--address', address)).toEqual([secretFor(SECRET, `wallet:${address}`)])
  const all = [await secret(), await secret('--token', token), await secret('--address', address)].flat()
  expect(new Set(all).size).toBe(3)
  for (const one of all) expect(one).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  await refusedInProcess(callbacks('secret', '--token', token, '--address', address, ...config), 2, [
    'Give one of them',
  ])
  await refusedInProcess(callbacks('secret', '--token', 'x', ...config), 2, ['ID'])
  await refusedInProcess(callbacks('secret', '--address', 'x', ...config), 2, ['--address: must be the address'])
  await refusedInProcess(callbacks('secret', '--config', configFile()), 2, ['has no section [callbacks]'])
})

test.each([
  '',
  'whsec_',
  'whsec_AAAA',
  'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=',
  `whsec_${'A'.repeat(200)}`,
  'whsec_not base64',
])('a configuration with the secret %j is refused', async (secret) => {
  const file = configFile('', tempDir(), `${signer}\n[callbacks]\nsecret = "${secret}"\n`)
  await refusedInProcess(callbacks('secret', '--config', file), 2, ['callbacks.secret must be "whsec_"'])
})

test('the command line finds what is two words deep, and says what there is', async () => {
  const help = await command(callbacks('--help'))
  expect(help.out.join('\n')).toMatch(/list[\s\S]*retry[\s\S]*secret/)
  const service = await startService()
  await refusedCommand(callbacks('list', '--url', service.url), 1, 'sends no callbacks')
  await refusedCommand(callbacks('lost'), 2, 'there is no tasks callbacks "lost"', 'tasks callbacks retry')
})
