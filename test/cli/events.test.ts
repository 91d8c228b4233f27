import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { CLI, cli, type Child } from '../support/child.js'
import { refusedCommand } from '../support/command.js'
import { closedUrl, startFront } from '../support/front.js'
import { connectNode } from '../support/node-session.js'
import { startService, type Service } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

/** Follows a service, and is followed by it: what happens from now on is told. */
async function follow(service: Pick<Service, 'url'>, ...more: string[]): Promise<Child> {
  const child = cli(['events', '--types', 'task,node,tick', ...more, '--url', service.url])
  await until(() => child.out.length > 0, 'a tick')
  return child
}
const without = (what: string, lines: string[]): string[] => lines.filter((one) => !one.includes(what))

test('events prints a line for what happens to tasks and nodes, without control characters', async () => {
  const service = await startService()
  const child = await follow(service)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a\u00a0b', model_name: 'llama-\u202e3' })
  const { attempt } = await node.next('task.assign')
  node.say({ type: 'task.fail', task_id: 'a\u00a0b', attempt, error: 'no', retryable: false })
  const failed = await until(() => child.out.find((one) => one.includes('  failed  ')), 'the end')
  expect(failed).toMatch(
    /^\d{4}-\d\d-\d\dT[\d:.]+Z {2}task {2}a\u00a0b {2}failed {2}llama-\\u\{202e\}3, attempt 1 at n, fault: task, \d+\.\d s$/,
  )
  const lines = without('tick', child.out).map((one) => one.split('  ').slice(1, 4))
  expect(lines).toContainEqual(['node', 'n', 'online'])
  expect(lines).toContainEqual(['task', 'a\u00a0b', 'in_progress'])
  expect(child.out[0]).toMatch(
    /tick {2}0 waiting, 0 running, oldest waiting -, 0 failed in the last hour, in the last second/,
  )
  child.process.kill('SIGINT')
  expect(await child.exit).toEqual({ code: 130, signal: null })
  expect(child.err).toEqual([])
})

test('with --json each line is an event of the feed; --model and --node choose', async () => {
  const service = await startService()
  const all = await follow(service, '--json')
  const chosen = await follow(service, '--json', '--model', 'mistral', '--node', 'n')
  const node = await connectNode(service, 'n', { supported_models: ['llama', 'mistral'] })
  for (const model_name of ['llama-3-8b', 'mistral']) {
    await service.submit({ model_name })
    node.complete(await node.next('task.assign'))
    await node.next('task.settled')
  }
  const events = (child: Child): any[] => without('"tick"', child.out).map((one) => JSON.parse(one) as unknown) // oxlint-disable-line typescript/no-explicit-any -- tests read any field
  const ends = (child: Child): any[] => events(child).filter(({ data }) => data.status === 'completed') // oxlint-disable-line typescript/no-explicit-any -- tests read any field
  await until(() => ends(all).length === 2 && ends(chosen).length === 1, 'the ends')
  expect(ends(chosen)[0]).toEqual(ends(all)[1])
  expect(ends(chosen)[0]).toMatchObject({
    event: 'task',
    id: expect.stringMatching(/^[0-9a-f]{12}-\d+$/),
    data: { model: 'mistral', node: 'n', attempt: 1, end: 'completed' },
  })
  expect(new Set(events(chosen).map(({ data }) => data.model))).toEqual(new Set(['mistral']))
})

test('events goes on where it was when the connection is lost, and says of another run that something is missing', async () => {
  const database_path = join(tempDir(), 'inference.db')
  const first = await startService({ database_path })
  const front = await startFront(first)
  const child = await follow(front)
  await first.submit({ task_id: 'before' })
  await until(() => child.out.some((one) => one.includes('before')), 'the first task')
  front.leadTo(null)
  front.cut()
  await until(() => child.err.length > 0, 'that it is lost')
  expect(child.err[0]).toMatch(/^stacks-signer: .+; trying again in \d s, and after that$/)
  await first.submit({ task_id: 'meanwhile' })
  front.leadTo(first)
  await until(() => child.err.includes('stacks-signer: the feed goes on'), 'that it goes on')
  await until(() => child.out.some((one) => one.includes('meanwhile')), 'what was missed')
  expect(child.out.filter((one) => one.includes('before'))).toHaveLength(1)

  await first.stop()
  front.leadTo(await startService({ database_path }))
  await until(() => child.out.some((one) => one.includes('reset')), 'that something is missing')
})

test('events ends without a word when nobody reads it any more', async () => {
  const service = await startService()
  const child = spawn(process.execPath, [CLI, 'events', '--types', 'tick', '--url', service.url], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let err = ''
  child.stderr.on('data', (text: Buffer) => (err += text.toString()))
  const ended = once(child, 'exit')
  await once(child.stdout, 'data')
  child.stdout.destroy()
  expect(await ended).toEqual([0, null])
  expect(err).toBe('')
})

test('events says in a line what is wrong with its use, and that there is no service', async () => {
  await refusedCommand(['events', '--types', 'tasks'], 2, '--types: must be names of task, node, tick')
  await refusedCommand(['events', 'a'], 2, 'unexpected "a"')
  await refusedCommand(['events', '--url', await closedUrl()], 1, 'start the service')
})
