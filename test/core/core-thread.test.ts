import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { OVERLOADED } from '../../src/core/engine/overload.js'
import { cli, configFile, serviceChild } from '../support/child.js'
import { connectNode } from '../support/node-session.js'
import { calm, serviceAt, task, type Answer } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

/** A configuration with the core in a thread of its own. */
const inThread = (more = '', dir = tempDir()): string =>
  configFile(`core_thread = true\nheartbeat_interval = 5\nshutdown_timeout = 2\n${more}`, dir)

test('with its core in a thread a service takes, pushes and settles tasks, and its stop and next start lose nothing', async () => {
  const config = inThread()
  const first = await serviceChild(config)
  const done = await first.submit()
  const node = await connectNode(first, 'node-1', { max_concurrent_tasks: 1 })
  const assigned = await node.next('task.assign')
  expect(assigned.task_id).toBe(done)
  node.say({ type: 'task.accept', task_id: done, attempt: 1 })
  node.say({ type: 'task.complete', task_id: done, attempt: 1, output: 'Paris', confidence: 0.9 })
  expect(await node.next('task.settled')).toMatchObject({ task_id: done, status: 'completed' })
  const held = await first.submit()
  expect((await node.next('task.assign')).task_id).toBe(held)
  const waits = await first.submit()

  first.process.kill('SIGTERM')
  expect(await first.exit).toEqual({ code: 0, signal: null })
  const second = await serviceChild(config)
  expect(await second.status(done)).toMatchObject({ status: 'completed', result: { output: 'Paris' } })
  expect(await second.status(held)).toMatchObject({ status: 'in_progress' })
  expect(await second.status(waits)).toMatchObject({ status: 'pending' })
})

test('a second session of a node replaces one that does not answer, with the core in a thread too', async () => {
  const service = await serviceChild(inThread())
  const mute = await connectNode(service, 'mute', {}, { autoPong: false })
  const next = await connectNode(service, 'mute')
  expect((await mute.closed).code).toBe(4409)
  await next.beat()
})

test('what cannot be opened in a thread is told as without one, and the service ends', async () => {
  const config = inThread()
  await serviceChild(config)
  const other = cli(['run-inference-service', '--config', config, '--api-port', '0'])
  expect((await other.exit).code).toBe(1)
  expect(other.err.join('\n')).toContain('another coordinator is running on this database')
})

test('a thread makes the backups of its service', async () => {
  const dir = tempDir()
  const service = await serviceChild(inThread(`backup_dir = ${JSON.stringify(join(dir, 'backups'))}`, dir))
  await service.submit()
  await until(() => (service.out.some((l) => l.includes('backup.made')) ? true : null), 'a backup')
  expect(readdirSync(join(dir, 'backups')).filter((f) => f.endsWith('.db'))).toHaveLength(1)
})

test('a service whose thread is gone ends, and its next start has what was acknowledged', async () => {
  const database_path = join(tempDir(), 'inference.db')
  const serve = async (kill: object | null) => {
    const child = fork(fileURLToPath(new URL('../crash/serve.mjs', import.meta.url)), {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    const exit = once(child, 'exit')
    onTestFinished(async () => {
      child.kill('SIGKILL')
      await exit
    })
    child.send({ settings: { ...calm, database_path, api_port: 0, core_thread: true }, kill })
    const [{ url }] = (await once(child, 'message')) as [{ url: string }]
    return { exit, service: serviceAt(url) }
  }
  const first = await serve({ point: 'after commit', nth: 8, thread: true })
  const stored: string[] = []
  try {
    for (;;) stored.push(await first.service.submit())
  } catch {
    // It has ended in the middle of a submission.
  }
  expect((await first.exit)[0]).not.toBe(0)
  expect(stored.length).toBeGreaterThan(0)
  const second = await serve(null)
  for (const id of stored) expect(await second.service.status(id)).toMatchObject({ status: 'pending' })
})

/** On a machine with too much to do a service may say so, and is asked again. */
const isOverloaded = ({ status, body }: Answer): boolean => status === 503 && body?.error === OVERLOADED

test('requests that come together share commits in a thread too, and are all answered', async () => {
  const service = await serviceChild(inThread())
  const ids = Array.from({ length: 300 }, (_, i) => `t-${i}`)
  const answers = await Promise.all(
    ids.map((task_id) =>
      until(async () => {
        const answer = await service.post('/api/v1/tasks/submit', task({ task_id }))
        return isOverloaded(answer) ? null : answer
      }, `the answer to ${task_id}`),
    ),
  )
  expect(answers.map((a) => a.status)).toEqual(ids.map(() => 200))
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ pending_tasks: 300 })
})
