import { writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { InferenceNode } from '../../src/inference-node/index.js'
import { configFile, serviceChild } from '../support/child.js'
import { fakeTimers, fakeTime, type FakeTime } from '../support/fake-time.js'
import { connectNode } from '../support/node-session.js'
import { inspect, type Service, startService, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { realTimeout, until } from '../support/wait.js'

const NODES = 10
const SLOTS = 100
const TASKS = NODES * SLOTS

type Answering = Pick<Service, 'host' | 'post' | 'get' | 'status'>
interface Held {
  task_id: string
  attempt: number
}

/** Nodes that take all tasks at once, accept them, and do not finish. What each one holds, by node. */
async function fill(service: Answering, more: Record<string, unknown> = {}): Promise<Map<string, Held[]>> {
  const nodes = await Promise.all(
    Array.from({ length: NODES }, (_, i) =>
      connectNode(service, `node-${i}`, { max_concurrent_tasks: SLOTS, batch: true }),
    ),
  )
  const answer = await service.post('/api/v1/tasks/batch', {
    tasks: Array.from({ length: TASKS }, (_, i) => task({ task_id: `t${i}`, max_infer_time: 60, ...more })),
  })
  expect(answer.body?.data.results).toHaveLength(TASKS)
  const held = new Map<string, Held[]>()
  for (const node of nodes) {
    await until(
      () => node.inbox.filter((m) => m.type === 'task.assign').length === SLOTS,
      `${node.id} having ${SLOTS} tasks`,
    )
    const mine = node.inbox.flatMap((m) =>
      m.type === 'task.assign' ? [{ task_id: m.task_id, attempt: m.attempt }] : [],
    )
    node.say(mine.map((m) => ({ type: 'task.accept', ...m })))
    await node.beat()
    held.set(node.id, mine)
  }
  return held
}

/** The nodes come back and name what they hold: all of it is still theirs. Then they finish it. */
async function resumeAndFinish(service: Answering, held: Map<string, Held[]>): Promise<void> {
  const nodes = await Promise.all(
    [...held].map(([id, running]) => connectNode(service, id, { max_concurrent_tasks: SLOTS, batch: true, running })),
  )
  for (const node of nodes) {
    const mine = held.get(node.id) ?? []
    expect(node.welcome.dropped).toEqual([])
    expect(new Set(node.welcome.resumed.map((r) => r.task_id))).toEqual(new Set(mine.map((m) => m.task_id)))
  }
  for (const node of nodes) {
    const mine = held.get(node.id) ?? []
    node.say(mine.map((m) => ({ type: 'task.complete', ...m, output: `${m.task_id} by ${node.id}`, confidence: 1 })))
    await until(
      () => node.inbox.filter((m) => m.type === 'task.settled').length === mine.length,
      `${node.id} having everything settled`,
    )
    expect(node.inbox.filter((m) => m.type !== 'task.settled')).toEqual([]) // nothing was assigned, cancelled or refused
  }
}

/** Every task has one attempt, of the node that had it before the restart. */
function expectOneAttemptEach(file: string, held: Map<string, Held[]>): void {
  const rows = inspect(file, (db) =>
    db
      .prepare<[], { task_id: string; attempt: number; node_id: string; end: string; output: string }>(
        'SELECT t.task_id, a.attempt, a.node_id, a.end, t.output FROM inference_tasks t JOIN attempts a USING (task_id)',
      )
      .all(),
  )
  const expected = [...held].flatMap(([node_id, mine]) =>
    mine.map(({ task_id }) => ({ task_id, attempt: 1, node_id, end: 'completed', output: `${task_id} by ${node_id}` })),
  )
  const sorted = <T extends { task_id: string }>(list: T[]): T[] =>
    list.sort((a, b) => (a.task_id < b.task_id ? -1 : 1))
  expect(sorted(rows)).toEqual(sorted(expected))
}

/** One address for services that come and go on addresses of their own. */
async function createRelay() {
  let target: { host: string; port: number } | null = null
  const open = new Set<Socket>()
  const keep = (socket: Socket): void => {
    open.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => open.delete(socket))
  }
  const server = createServer((near) => {
    keep(near)
    if (target === null) return near.destroy()
    const far = connect(target)
    keep(far)
    near.pipe(far).pipe(near)
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    to(url: string) {
      const { hostname, port } = new URL(url)
      target = { host: hostname, port: Number(port) }
    },
  }
}

describe('a restart is a non-event', () => {
  test('after a stop and a start, 1,000 running tasks are all resumed and none is computed again', async () => {
    const file = join(tempDir(), 'inference.db')
    const settings = { database_path: file, shutdown_timeout: 0 }
    const first = await startService(settings)
    const held = await fill(first)
    await first.stop()
    const second = await startService(settings)
    await resumeAndFinish(second, held)
    expect((await second.get('/api/v1/stats')).body?.data).toMatchObject({ total_tasks: TASKS, completed_tasks: TASKS })
    expect(await second.status('t0')).toMatchObject({ status: 'completed', attempts: 1 })
    expectOneAttemptEach(file, held)
  })

  test('after a SIGKILL and a start, 1,000 running tasks are all resumed and none is computed again', async () => {
    const file = join(tempDir(), 'inference.db')
    const config = configFile('accept_timeout = 10\nheartbeat_interval = 10')
    const first = await serviceChild(config, ['--database', file])
    const held = await fill(first)
    first.process.kill('SIGKILL')
    expect((await first.exit).signal).toBe('SIGKILL')
    const second = await serviceChild(config, ['--database', file])
    await resumeAndFinish(second, held)
    expect((await second.get('/api/v1/stats')).body?.data).toMatchObject({ total_tasks: TASKS, completed_tasks: TASKS })
    expectOneAttemptEach(file, held)
  })

  test('the node that comes with the service keeps its work through a stop and through a SIGKILL, and does nothing twice', async () => {
    const file = join(tempDir(), 'inference.db')
    const config = configFile('shutdown_timeout = 0')
    const first = await serviceChild(config, ['--database', file])
    const relay = await createRelay()
    relay.to(first.url)
    const worked: string[] = []
    let release = (): void => undefined
    const released = new Promise<void>((resolve) => (release = resolve))
    const nodes = Array.from({ length: NODES }, (_, i) => {
      const nodeId = `node-${i}`
      const work = async ({ task_id }: { task_id: string }): Promise<string> => {
        worked.push(task_id)
        await released
        return `${task_id} by ${nodeId}`
      }
      return new InferenceNode({ coordinator: relay.url, nodeId, models: ['llama'], maxConcurrentTasks: SLOTS, work })
    })
    onTestFinished(async () => void (await Promise.all(nodes.map((n) => n.stop()))))
    await Promise.all(nodes.map((n) => n.start()))
    await first.post('/api/v1/tasks/batch', {
      tasks: Array.from({ length: TASKS }, (_, i) => task({ task_id: `t${i}`, max_infer_time: 60 })),
    })
    await until(() => worked.length === TASKS, 'all tasks being worked on')
    const allBack = (): Promise<unknown> => until(() => nodes.every((n) => n.connected), 'all nodes in session')

    first.process.kill('SIGTERM')
    expect((await first.exit).code).toBe(0)
    const second = await serviceChild(config, ['--database', file])
    relay.to(second.url)
    await allBack()
    expect((await second.get('/api/v1/stats')).body?.data).toMatchObject({ processing_tasks: TASKS, pending_tasks: 0 })

    second.process.kill('SIGKILL')
    await second.exit
    const third = await serviceChild(config, ['--database', file])
    relay.to(third.url)
    await allBack()
    release()
    await until(
      async () => (await third.get('/api/v1/stats')).body?.data.completed_tasks === TASKS,
      'all tasks completed',
    )
    expect(worked).toHaveLength(TASKS)
    const held = new Map(nodes.map((n) => [n.nodeId, [] as Held[]]))
    for (const { node_id, task_id } of inspect(file, (db) =>
      db.prepare<[], { node_id: string; task_id: string }>('SELECT node_id, task_id FROM attempts').all(),
    ))
      held.get(node_id)?.push({ task_id, attempt: 1 })
    expectOneAttemptEach(file, held)
  }, 60_000)

  test('an hour of down time moves every open deadline: leases of sessions and of polls, and the wait in the queue', async () => {
    const file = join(tempDir(), 'inference.db')
    const settings = { database_path: file, shutdown_timeout: 0, max_queue_time: 100, node_timeout: 20 }
    const time = fakeTime()
    const first = await startService(settings, time)
    const node = await connectNode(first, 'node-1', { supported_models: ['llama'] })
    await first.register('poller', { supported_models: ['mistral'] })
    await first.submit({ task_id: 'in session', max_infer_time: 30 })
    await first.submit({ task_id: 'polled', model_name: 'mistral-7b', max_infer_time: 30 })
    await first.submit({ task_id: 'waits', model_name: 'gemma-2b' })
    const mine = await node.next('task.assign')
    node.accept(mine)
    await node.beat()
    expect(await first.poll('poller')).toMatchObject({ task_id: 'polled', attempt: 1 })
    await time.pass(first, 10)
    await first.stop()

    time.jump(3600)
    const second = await startService({ ...settings, restart_grace: 5 }, time)
    const back = await connectNode(second, 'node-1', { running: [{ task_id: mine.task_id, attempt: mine.attempt }] })
    expect(back.welcome).toMatchObject({ resumed: [{ task_id: 'in session', attempt: 1 }], dropped: [] })
    // 20 of the 30 seconds are left: all of them count, and no more.
    await time.pass(second, 15)
    await ticked(second, time)
    expect((await second.get('/api/v1/stats')).body?.data).toMatchObject({
      pending_tasks: 1,
      processing_tasks: 2,
      timeout_tasks: 0,
    })
    await time.pass(second, 5)
    expect(await back.next('task.cancel')).toMatchObject({ task_id: 'in session', attempt: 1, reason: 'timeout' })
    await second.reaches('in session', 'timeout')
    expect(await second.status('waits')).toMatchObject({ status: 'pending' })
    await time.pass(second, 90)
    await second.reaches('waits', 'timeout')
  })
})

/** Lets so much time pass that the coordinator writes when it was alive: it has looked at every deadline just before. */
async function ticked({ file, ...service }: Service, time: FakeTime, seconds = 1): Promise<void> {
  const alive = (): number =>
    inspect(
      file,
      (db) => db.prepare<[], { alive_ms: number }>('SELECT alive_ms FROM service_clock').get()?.alive_ms ?? 0,
    )
  await service.get('/health') // a jump is seen by itself
  const before = alive()
  await time.pass(service, seconds)
  await until(() => alive() > before, 'a look at the deadlines')
}

describe('a process that stood still', () => {
  /** A service whose every deadline is a minute away: a session, a polling node, and what both hold. */
  const busyService = async () => {
    const time = fakeTime()
    const service = await startService({ heartbeat_interval: 20, node_timeout: 60 }, time)
    const node = await connectNode(service, 'node-1')
    await service.register('poller', { supported_models: ['mistral'] })
    await service.submit({ task_id: 'in session', max_infer_time: 60 })
    await service.submit({ task_id: 'polled', model_name: 'mistral-7b', max_infer_time: 60 })
    const mine = await node.next('task.assign')
    node.accept(mine)
    await node.beat()
    await service.poll('poller')
    await ticked(service, time, 10) // from here on it writes every second that it is alive
    return { time, service, node, mine }
  }

  test('declares nobody dead: sessions and leases live on, whatever the clocks say', async () => {
    const { time, service, node, mine } = await busyService()
    for (let i = 0; i < 3; i++) {
      time.jump(600)
      await ticked(service, time)
    }
    expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({
      processing_tasks: 2,
      busy_nodes: 2,
      offline_nodes: 0,
    })
    expect(node.inbox).toEqual([])
    node.complete(mine)
    expect(await node.next('task.settled')).toMatchObject({ task_id: 'in session', attempt: 1, status: 'completed' })
    expect(
      (
        await service.post('/api/v1/tasks/complete', {
          task_id: 'polled',
          output: 'x',
          confidence: 1,
          inference_node_id: 'poller',
        })
      ).status,
    ).toBe(200)
    expect(await service.status('polled')).toMatchObject({ status: 'completed', attempts: 1 })
  })

  test('would have declared them dead had it been there: the same time, lived through, ends sessions and leases', async () => {
    const { time, service, node } = await busyService()
    await time.pass(service, 70)
    expect((await node.closed).code).toBe(4408)
    await service.reaches('in session', 'timeout')
  })

  test('takes a result that came before the lease ended, although it wakes up after', async () => {
    const time = fakeTime()
    const timers = fakeTimers()
    const service = await startService({}, time)
    const node = await connectNode(service, 'node-1')
    await service.submit({ task_id: 'just in time', max_infer_time: 1 })
    const mine = await node.next('task.assign')
    node.accept(mine)
    await node.beat()
    // What follows is done among the timers of the event loop, as when it wakes up: its own go off before it reads.
    await new Promise((resolve) => realTimeout(resolve, 1))
    node.complete(mine)
    // Shorter than what the service clock leaves out, longer than the lease.
    time.jump(1.5)
    timers.jump(1.5)
    expect(await node.next('task.settled')).toMatchObject({ task_id: 'just in time', status: 'completed' })
  })

  test.runIf(process.platform !== 'win32')('for real: a session outlives SIGSTOP and SIGCONT', async () => {
    const file = join(tempDir(), 'inference.db')
    const clock = join(tempDir(), 'clock')
    writeFileSync(clock, '0')
    const service = await serviceChild(configFile('heartbeat_interval = 1'), ['--database', file], {
      NODE_OPTIONS: `--import ${new URL('../support/clock-ahead.mjs', import.meta.url).href}`,
      CLOCK_AHEAD: clock,
    })
    const node = await connectNode(service, 'node-1')
    await service.submit({ task_id: 'held', max_infer_time: 4 })
    const mine = await node.next('task.assign')
    node.accept(mine)
    await node.beat()
    service.process.kill('SIGSTOP')
    await sleep(900) // its timers are due when it goes on
    writeFileSync(clock, '5000') // longer than its heartbeats and its lease allow
    node.say({ type: 'node.heartbeat' })
    service.process.kill('SIGCONT')
    await node.next('node.heartbeat_ack')
    node.complete(mine)
    expect(await node.next('task.settled')).toMatchObject({ task_id: 'held', attempt: 1, status: 'completed' })
  })
})
