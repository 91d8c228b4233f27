import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createIdentity } from '../../src/inference-node/index.js'
import { openUnsettledFolder } from '../../src/inference-node/unsettled.js'
import { connectedNode, endlessWork, startNode } from '../support/inference-node.js'
import { startCoordinator } from '../support/scripted-coordinator.js'
import { tempDir } from '../support/temp-dir.js'
import { deferred } from '../support/wait.js'

const t1 = { task_id: 't1', attempt: 1 }
const completion = (task_id: string, output = 'text') => ({
  type: 'task.complete' as const,
  task_id,
  attempt: 1,
  output,
  confidence: 1,
})
const owner = { nodeId: 'n1', hosts: ['h'] }
const noWarning = (message: string): void => expect.fail(message)

test('on reconnect the hello names working and finished attempts, and finished results are sent again', async () => {
  const { work, began } = endlessWork()
  const { coordinator, session } = await connectedNode({
    maxConcurrentTasks: 2,
    work: (task, signal) => (task.task_id === 't1' ? 'done' : work(task, signal)),
  })
  session.assign()
  await session.expect('task.complete')
  session.assign({ task_id: 't2' })
  await began('t2/1')
  session.socket.terminate()
  const again = await coordinator.welcomed({ resumed: [{ task_id: 't2', attempt: 1 }, t1] })
  expect(again.greeting.running).toEqual([{ task_id: 't2', attempt: 1 }, t1])
  expect(await again.expect('task.complete')).toMatchObject({ ...t1, output: 'done' })
})

test('a resumed attempt goes on over the reconnect and its result comes in the new session', async () => {
  const go = deferred()
  const { coordinator, session, event } = await connectedNode({
    work: async () => {
      await go.promise
      return 'late'
    },
  })
  session.assign()
  await session.expect('task.accept')
  session.socket.terminate()
  await event('disconnected')
  const again = await coordinator.welcomed({ resumed: [t1] })
  go.resolve()
  expect(await again.expect('task.complete')).toMatchObject({ output: 'late' })
})

test('a result that is made while there is no session is sent in the next', async () => {
  const go = deferred()
  const { coordinator, session, event } = await connectedNode({
    work: async () => {
      await go.promise
      return 'meanwhile'
    },
  })
  session.assign()
  await session.expect('task.accept')
  session.socket.terminate()
  await event('disconnected')
  go.resolve()
  await event('completed')
  expect(await (await coordinator.welcomed({ resumed: [t1] })).expect('task.complete')).toMatchObject({
    output: 'meanwhile',
  })
})

test('a dropped attempt is stopped, but a result that is there is sent all the same', async () => {
  const { work, began, stopped } = endlessWork()
  const { coordinator, session } = await connectedNode({
    maxConcurrentTasks: 2,
    work: (task, signal) => (task.task_id === 't1' ? 'done' : work(task, signal)),
  })
  session.assign()
  await session.expect('task.complete')
  session.assign({ task_id: 't2' })
  await began('t2/1')
  session.socket.terminate()
  const again = await coordinator.welcomed({ dropped: [t1, { task_id: 't2', attempt: 1 }] })
  await stopped('t2/1')
  await again.expect('task.complete')
  again.send({ type: 'error', code: 'stale_attempt', message: 'over', ...t1 })
  again.socket.terminate()
  expect((await coordinator.welcomed()).greeting.running).toEqual([])
})

test.each(['stale_attempt', 'not_holder'] as const)('a result that is answered %s is forgotten', async (code) => {
  const { coordinator, session, event } = await connectedNode()
  session.assign()
  await session.expect('task.complete')
  session.send({ type: 'error', code, message: 'no', ...t1 })
  expect(await event('refused')).toMatchObject({ ...t1, code })
  session.socket.terminate()
  expect((await coordinator.welcomed()).greeting.running).toEqual([])
})

test('a result that the coordinator could not take is sent again', async () => {
  const { session } = await connectedNode()
  session.assign()
  await session.expect('task.complete')
  for (let i = 0; i < 3; i++) {
    session.send({ type: 'error', code: 'internal', message: 'disk full', ...t1 })
    await session.expect('task.complete')
  }
})

test('a result without an answer is sent again, until it is settled', async () => {
  const { session, event } = await connectedNode({ resendAfter: 0.02 })
  session.assign()
  await session.expect('task.complete')
  await session.expect('task.complete')
  await session.expect('task.complete')
  session.settle(t1)
  await event('settled')
})

test('a failure is kept until it is settled, as a completion is', async () => {
  const { coordinator, session } = await connectedNode({ work: () => Promise.reject(new Error('broken')) })
  session.assign()
  await session.expect('task.fail')
  session.socket.terminate()
  const again = await coordinator.welcomed({ resumed: [t1] })
  expect(again.greeting.running).toEqual([t1])
  expect(await again.expect('task.fail')).toMatchObject({ error: 'broken' })
})

test('a result the coordinator says does not fit becomes a failure', async () => {
  const { session } = await connectedNode()
  session.assign()
  await session.expect('task.complete')
  session.send({ type: 'error', code: 'invalid_message', message: 'no', ...t1 })
  expect(await session.expect('task.fail')).toMatchObject(t1)
})

test('a completion is on disk before it is sent, and gone when it is settled', async () => {
  const folder = join(tempDir(), 'unsettled')
  const { session, event, node } = await connectedNode({ unsettledFolder: folder })
  session.assign()
  await session.expect('task.complete')
  const [file, ...others] = await readdir(folder)
  expect(others).toEqual([])
  expect(JSON.parse(await readFile(join(folder, file ?? ''), 'utf8'))).toMatchObject({
    result: { task_id: 't1', output: 'hello there' },
  })
  session.settle(t1)
  await event('settled')
  await node.stop()
  expect(await readdir(folder)).toEqual([])
})

test('a node that was killed sends after its restart what was not settled', async () => {
  const folder = tempDir()
  const identity = createIdentity()
  const coordinator = await startCoordinator()
  const first = await startNode({ coordinator: coordinator.url, identity, unsettledFolder: folder })
  const session = await coordinator.welcomed()
  session.assign()
  await session.expect('task.complete')
  expect(await first.node.stop()).toEqual({ reason: 'stopped', unsettled: 1 })
  expect(await session.closed).toBe(1001)

  const second = await startNode({ coordinator: coordinator.url, identity, unsettledFolder: folder })
  const again = await coordinator.welcomed({ resumed: [t1] })
  expect(again.greeting.running).toEqual([t1])
  expect(await again.expect('task.complete')).toMatchObject({ ...t1, output: 'hello there' })
  again.settle(t1)
  await second.event('settled')
  await second.node.stop()
  expect(await readdir(folder)).toEqual([])
})

test('files that are no results are set aside with a warning, and half-written ones removed', async () => {
  const folder = tempDir()
  const store = openUnsettledFolder(folder, owner)
  await store.load(noWarning)
  await store.put(completion('good'))
  await writeFile(join(folder, 'bad.json'), '{"version":1,"node_id":')
  await writeFile(
    join(folder, 'other.json'),
    '{"version":1,"node_id":"n1","host":"h","result":{"type":"task.complete","task_id":"a/b"}}',
  )
  await writeFile(join(folder, 'half.json.tmp'), 'x')
  await mkdir(join(folder, 'folder.json'))
  const warnings: string[] = []
  const loaded = await openUnsettledFolder(folder, owner).load((message) => warnings.push(message))
  expect(loaded).toEqual([completion('good')])
  expect(warnings).toHaveLength(3)
  expect((await readdir(folder)).filter((name) => !/^[0-9a-f]{32}-1\.json$/.test(name)).sort()).toEqual([
    'bad.json.corrupt',
    'folder.json',
    'other.json.corrupt',
  ])
})

test('results for another coordinator or node stay where they are', async () => {
  const folder = tempDir()
  await openUnsettledFolder(folder, owner).put(completion('t1'))
  const warnings: string[] = []
  expect(await openUnsettledFolder(folder, { ...owner, hosts: ['other'] }).load((m) => warnings.push(m))).toEqual([])
  expect(await openUnsettledFolder(folder, { ...owner, nodeId: 'n2' }).load((m) => warnings.push(m))).toEqual([])
  expect(warnings).toHaveLength(2)
  expect(await openUnsettledFolder(folder, owner).load(noWarning)).toEqual([completion('t1')])
})

test('the folder is bounded in count and size', async () => {
  const folder = tempDir()
  const store = openUnsettledFolder(folder, owner, { count: 2, bytes: 1000 })
  await store.put(completion('a'))
  await expect(store.put(completion('big', 'x'.repeat(2000)))).rejects.toThrow('too many unsettled results')
  await store.put(completion('b'))
  await expect(store.put(completion('c'))).rejects.toThrow('too many unsettled results')
  await store.remove({ task_id: 'a', attempt: 1 })
  await store.put(completion('c'))
  expect(await openUnsettledFolder(folder, owner, { count: 1, bytes: 1000 }).load(() => undefined)).toHaveLength(1)
})

test('putting and removing at the same time leaves nothing behind', async () => {
  const folder = tempDir()
  const store = openUnsettledFolder(folder, owner)
  const names = Array.from({ length: 20 }, (_, i) => `t${i}`)
  await Promise.all(names.flatMap((name) => [store.put(completion(name)), store.remove({ task_id: name, attempt: 1 })]))
  await store.idle()
  expect(await readdir(folder)).toEqual([])
})

test('a result that cannot be written is a warning, and is sent all the same', async () => {
  const folder = tempDir()
  const { session, event } = await connectedNode({ unsettledFolder: folder })
  const { rm } = await import('node:fs/promises')
  await rm(folder, { recursive: true })
  session.assign()
  expect((await event('warning')).message).toContain('cannot be kept there')
  await session.expect('task.complete')
})

test('a folder that cannot be used stops the start with one line', async () => {
  const folder = tempDir()
  await writeFile(join(folder, 'file'), '')
  await expect(startNode({ coordinator: 'http://127.0.0.1:1', unsettledFolder: join(folder, 'file') })).rejects.toThrow(
    /unsettled results cannot be kept there .*another state_dir/,
  )
})
