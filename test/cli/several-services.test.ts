import { expect, test } from 'vitest'
import { createRestClient } from '../../src/lib/rest-client.js'
import { ConfigError } from '../../src/lib/config-error.js'
import { serviceUrls } from '../../src/commands/service-call.js'
import { watchTask } from '../../src/commands/tasks/task-session.js'
import { followFeed } from '../../src/commands/feed/follow-feed.js'
import { errorEnvelope } from '../../src/wire/envelope.js'
import { statsView } from '../../src/wire/service-answers.js'
import { inProcess } from '../support/command.js'
import { startFollower } from '../support/follower.js'
import { closedUrl } from '../support/front.js'
import { startHttp } from '../support/http-server.js'
import { startService } from '../support/service.js'

test('a command asks the first that owns the work: not one that is gone, nor one that follows', async () => {
  const service = await startService()
  await service.submit({ task_id: 'here' })
  const follower = await startFollower(() => null)
  const url = [await closedUrl(), follower.url, service.url].join(', ')
  const { out } = await inProcess(['tasks', 'list', '--url', url])
  expect(out.join('\n')).toContain('here')
  expect(follower.calls()).toBe(1)
  expect((await inProcess(['nodes', 'list', '--json'], { STACKS_SIGNER_URL: url })).json()).toEqual([])
})

test('the owner that is named is asked next; one that is not in the list never is, and the sentence is that of who answered last', async () => {
  const owner = await startService()
  const other = await startFollower(() => null)
  const follower = await startFollower(() => owner.url)
  const known = createRestClient([follower.url, other.url, owner.url])
  expect(await known.get('/api/v1/stats', statsView)).toMatchObject({ total_tasks: 0 })
  expect(other.calls()).toBe(0)
  await known.get('/api/v1/stats', statsView)
  expect(follower.calls()).toBe(1) // who has served goes on

  const stranger = await startFollower(() => null)
  const astray = await startFollower(() => stranger.url)
  await expect(createRestClient([await closedUrl(), astray.url]).get('/api/v1/stats', statsView)).rejects.toMatchObject(
    {
      message: 'another coordinator has the work',
      code: 'not_owner',
    },
  )
  expect([stranger.calls(), astray.calls()]).toEqual([0, 1])
})

test('what one refuses, or does not answer in time, no other is asked', async () => {
  let calls = 0
  const other = await startHttp((_, response) => {
    calls++
    response.end()
  })
  const refusing = await startHttp((_, response) =>
    response.writeHead(409).end(JSON.stringify(errorEnvelope('conflict', 'it has ended'))),
  )
  const silent = await startHttp(() => undefined)
  for (const first of [refusing, silent])
    await expect(
      createRestClient([first.url, other.url], { timeout: 200 }).order('POST', '/api/v1/tasks/a/cancel', statsView),
    ).rejects.toThrow(/it has ended|has not answered/)
  expect(calls).toBe(0)
})

test('a task and the feed are watched at the next one where the first follows', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  const follower = await startFollower(() => null)
  const urls = [follower.url, service.url]
  const halted = new AbortController()
  const heard: string[] = []
  expect(
    await watchTask({
      urls,
      token: null,
      watch: () => ({ type: 'task.watch', task_id: 'a', watch: 'result', offset: 0 }),
      onMessage: ({ type }) => heard.push(type) > 0,
      onLost: () => undefined,
      halted: halted.signal,
    }),
  ).toBeNull()
  expect(heard).toEqual(['task.status'])
  await followFeed({
    urls,
    token: null,
    query: {},
    onOpen: () => halted.abort(),
    onEvent: () => undefined,
    onLost: () => undefined,
    halted: halted.signal,
  })
  expect(halted.signal.aborted).toBe(true)
})

test('each address of a list has to be one', () => {
  expect(serviceUrls('http://a, https://b')).toEqual(['http://a', 'https://b'])
  expect(() => serviceUrls('http://a,ftp://b')).toThrow(ConfigError)
  expect(() => serviceUrls('')).toThrow(/--url: must be an address such as/)
})
