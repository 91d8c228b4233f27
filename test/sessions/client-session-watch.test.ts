import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createWatches, MAX_WATCHES } from '../../src/core/sessions/watches.js'
import { createUndoLog } from '../../src/lib/undo-log.js'
import { connectClient, submission, type TestClient } from '../support/client-session.js'
import { assigned as assignedIn, coreHarness, diskFull } from '../support/core-harness.js'
import { fakeTime } from '../support/fake-time.js'
import { nextAssign, connectNode, dial, hello, type TestNode } from '../support/node-session.js'
import { type Service, startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

const output = (
  node: TestNode,
  { task_id, attempt }: { task_id: string; attempt: number },
  seq: number,
  delta: string,
) => node.say({ type: 'task.output', task_id, attempt, seq, delta })
const text = (client: TestClient) =>
  client.inbox.flatMap((m) => (m.type === 'task.output' ? [`${m.attempt}:${m.offset}:${m.delta}`] : []))

/** A task that a node works on and somebody watches for its text. */
async function streamed(service: Service) {
  const client = await connectClient(service)
  client.submit({ task_id: 'A', watch: 'output' })
  await client.next('task.submitted')
  const node = await connectNode(service, 'n')
  const assigned = await nextAssign(node, 'A')
  node.accept(assigned)
  return { client, node, assigned }
}

test('a watch is taken up after a reconnect: where the task stands now, then what follows', async () => {
  const service = await startService()
  const first = await connectClient(service)
  first.submit({ task_id: 'A' })
  await first.next('task.submitted')
  first.socket.terminate()
  const node = await connectNode(service, 'n')
  const assigned = await nextAssign(node, 'A')
  const client = await connectClient(service)
  client.say({ type: 'task.watch', task_id: 'A', watch: 'result' })
  expect(await client.next('task.status')).toEqual({
    type: 'task.status',
    task_id: 'A',
    status: 'in_progress',
    attempt: 1,
  })
  const other = await connectNode(service, 'other')
  node.say({ type: 'task.fail', task_id: 'A', attempt: 1, error: 'broken', retryable: true })
  // It goes back to the queue and to the other node in one commit: that is one change.
  expect(await client.next('task.status')).toMatchObject({ status: 'in_progress', attempt: 2 })
  other.complete(await nextAssign(other, 'A'))
  expect(await client.next('task.result')).toMatchObject({ status: 'completed' })
  client.say({ type: 'task.watch', task_id: 'A' })
  expect(await client.next('task.result')).toMatchObject({ status: 'completed', result: { output: 'Paris' } })
  expect(assigned.attempt).toBe(1)
})

test('a watch is taken up after a restart of the service, also of a task that ended before', async () => {
  const file = join(tempDir(), 'inference.db')
  const before = await startService({ database_path: file })
  const node = await connectNode(before, 'n')
  const client = await connectClient(before)
  client.say([
    submission({ ref: '1', task_id: 'ended' }),
    submission({ ref: '2', task_id: 'waits', model_name: 'later' }),
  ])
  node.complete(await nextAssign(node, 'ended'), 'early')
  await client.next('task.result')
  await before.stop()
  const service = await startService({ database_path: file })
  const again = await connectClient(service)
  again.say([
    { type: 'task.watch', task_id: 'ended' },
    { type: 'task.watch', task_id: 'waits' },
    { type: 'task.watch', task_id: 'never' },
  ])
  expect(await again.next('task.result')).toMatchObject({ task_id: 'ended', result: { output: 'early' } })
  expect(await again.next('task.status')).toEqual({
    type: 'task.status',
    task_id: 'waits',
    status: 'pending',
    attempt: 0,
  })
  expect(await again.next('error')).toMatchObject({ code: 'task_not_found', task_id: 'never' })
  const other = await connectNode(service, 'm', { supported_models: ['later'] })
  other.complete(await nextAssign(other, 'waits'), 'late')
  expect(await again.next('task.result')).toMatchObject({ task_id: 'waits', result: { output: 'late' } })
})

test('nothing more is said of a task that is not watched any more; watches of others stay', async () => {
  const service = await startService()
  const client = await connectClient(service)
  const other = await connectClient(service)
  client.submit({ task_id: 'A' })
  await client.next('task.submitted')
  other.say({ type: 'task.watch', task_id: 'A' })
  await other.next('task.status')
  client.say([
    { type: 'task.unwatch', task_id: 'A' },
    { type: 'task.unwatch', task_id: 'nothing' },
  ])
  await client.settle()
  const node = await connectNode(service, 'n')
  node.complete(await nextAssign(node, 'A'))
  await other.next('task.result')
  await client.settle()
  expect(client.inbox.map((m) => m.type)).toEqual(['session.welcome'])
})

test('who watches hears of a task that waited too long', async () => {
  const time = fakeTime()
  const service = await startService({ max_queue_time: 30 }, time)
  const client = await connectClient(service)
  client.submit({ task_id: 'A' })
  await client.next('task.submitted')
  expect(await time.until(service, client.next('task.result'))).toMatchObject({
    status: 'timeout',
    result: null,
    error: expect.any(String),
  })
})

test('the text of an attempt comes as it is made, with the place of each piece', async () => {
  const service = await startService()
  const { client, node, assigned } = await streamed(service)
  expect(assigned.stream).toBe(true)
  output(node, assigned, 0, 'Par')
  output(node, assigned, 1, 'is 🗼')
  output(node, assigned, 1, 'is 🗼') // said twice
  output(node, assigned, 0, 'Par')
  output(node, assigned, 2, '!')
  await node.beat()
  node.complete(assigned, 'Paris 🗼!')
  await client.next('task.result')
  expect(text(client)).toEqual(['1:0:Par', '1:3:is 🗼', '1:8:!'])
})

test('a reconnected reader goes on where it was; another begins at the beginning', async () => {
  const service = await startService()
  const { client, node, assigned } = await streamed(service)
  output(node, assigned, 0, 'one 🗼 two')
  await client.next('task.output')
  client.socket.terminate()
  output(node, assigned, 1, ' three')
  await node.beat()
  const again = await connectClient(service)
  again.say({ type: 'task.watch', task_id: 'A', watch: 'output', attempt: 1, offset: 6 })
  expect(await again.next('task.output')).toMatchObject({ attempt: 1, offset: 6, delta: ' two three' })
  const middle = await connectClient(service)
  middle.say({ type: 'task.watch', task_id: 'A', watch: 'output', attempt: 1, offset: 5 })
  expect(await middle.next('task.output')).toMatchObject({ offset: 4, delta: '🗼 two three' })
  const fresh = await connectClient(service)
  fresh.say({ type: 'task.watch', task_id: 'A', watch: 'output' })
  expect(await fresh.next('task.output')).toMatchObject({ offset: 0, delta: 'one 🗼 two three' })
  output(node, assigned, 2, '.')
  for (const reader of [again, middle, fresh])
    expect(await reader.next('task.output')).toMatchObject({ offset: 16, delta: '.' })
})

test('a second attempt begins the text anew, whatever was read of the first', async () => {
  const service = await startService()
  const { client, node, assigned } = await streamed(service)
  output(node, assigned, 0, 'half of')
  await client.next('task.output')
  node.say({ type: 'task.fail', task_id: 'A', attempt: 1, error: 'broken', retryable: true })
  const second = await nextAssign(node, 'A')
  expect(second).toMatchObject({ attempt: 2, stream: true })
  const late = await connectClient(service)
  late.say({ type: 'task.watch', task_id: 'A', watch: 'output', attempt: 1, offset: 7 })
  await late.next('task.status')
  output(node, second, 0, 'it all')
  for (const reader of [client, late])
    expect(await reader.next('task.output')).toEqual({
      type: 'task.output',
      task_id: 'A',
      attempt: 2,
      offset: 0,
      delta: 'it all',
    })
  output(node, assigned, 1, 'of the first')
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt' })
  node.complete(second, 'it all')
  await client.next('task.result')
  expect(text(client)).toEqual([])
})

test('a text with a piece missing is not gone on with; the result comes all the same', async () => {
  const service = await startService()
  const { client, node, assigned } = await streamed(service)
  output(node, assigned, 0, 'a')
  output(node, assigned, 2, 'c')
  output(node, assigned, 3, 'd')
  await node.beat()
  const other = await connectClient(service)
  other.say({ type: 'task.watch', task_id: 'A', watch: 'output' })
  await other.next('task.status')
  node.complete(assigned, 'abcd')
  for (const reader of [client, other])
    expect(await reader.next('task.result')).toMatchObject({ result: { output: 'abcd' } })
  expect(text(client)).toEqual(['1:0:a'])
  expect(text(other)).toEqual([])
})

test('after a restart the beginning of a text is not known, and nothing wrong is said of it', async () => {
  const file = join(tempDir(), 'inference.db')
  const before = await startService({ database_path: file, shutdown_timeout: 0 })
  const { client, node, assigned } = await streamed(before)
  output(node, assigned, 0, 'half')
  await client.next('task.output')
  await before.stop()
  const service = await startService({ database_path: file })
  const reader = await connectClient(service)
  reader.say({ type: 'task.watch', task_id: 'A', watch: 'output', attempt: 1, offset: 4 })
  expect(await reader.next('task.status')).toMatchObject({ status: 'in_progress', attempt: 1 })
  const back = await dial(service)
  const { nonce } = await back.next('session.challenge')
  back.say(hello(service, 'n', nonce, { running: [{ task_id: 'A', attempt: 1 }] }))
  expect(await back.next('session.welcome')).toMatchObject({ resumed: [{ task_id: 'A', attempt: 1 }] })
  output(back, assigned, 1, ' and half')
  back.complete(assigned, 'half and half')
  expect(await reader.next('task.result')).toMatchObject({ result: { output: 'half and half' } })
  expect(text(reader)).toEqual([])
})

test('text is kept up to max_output_bytes; who asks for text before its first piece gets it all', async () => {
  const service = await startService({ max_output_bytes: 1024 })
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const assigned = await nextAssign(node, 'A')
  expect(assigned.stream).toBe(false)
  const client = await connectClient(service)
  client.say({ type: 'task.watch', task_id: 'A', watch: 'output' })
  await client.next('task.status')
  output(node, assigned, 0, 'a'.repeat(1000))
  output(node, assigned, 1, 'b'.repeat(24))
  output(node, assigned, 2, 'c')
  output(node, assigned, 3, 'd')
  node.complete(assigned, 'short')
  await client.next('task.result')
  expect(text(client).map((t) => t.length)).toEqual([1004, 31])
})

test('output alone commits nothing beyond the accept it implies', () => {
  const world = coreHarness()
  const given = assignedIn([...world.submit(1).effects, ...world.turn(world.hello(1, 'a', 1)).effects])[0]
  if (given === undefined) throw new Error('nothing was assigned')
  const { task_id, attempt } = given
  const say = (seq: number) =>
    world.turn({
      op: 'nodeMessage',
      session: 1,
      message: { type: 'task.output', task_id, attempt, seq, delta: 'x', channel: 'text' },
    })
  world.turn({
    op: 'clientMessage',
    session: 2,
    message: { type: 'task.watch', task_id, watch: 'output', attempt: null, offset: 0 },
  })
  say(0)
  expect(world.db.prepare('SELECT accepted_ms FROM attempts').pluck().get()).not.toBeNull()
  let commits = 0
  world.commitsFail(() => void commits++)
  expect(say(1).effects).toEqual([
    { session: 2, message: { type: 'task.output', task_id, attempt, offset: 1, delta: 'x' } },
  ])
  expect(commits).toBe(0)
})

test('a session watches a bounded number of tasks, and what is refused is not stored', () => {
  const world = coreHarness()
  const list = (n: number, from: number) =>
    Array.from({ length: n }, (_, i) => ({
      type: 'task.submit' as const,
      ref: `${from + i}`,
      watch: 'result' as const,
      task: {
        task_id: `t${from + i}`,
        user_address: 'a',
        user_input: 'q',
        context: '',
        fee: 0,
        nonce: 0,
        infer_fee: 1,
        max_infer_time: 60,
        model_name: 'llama',
        signed_tx: null,
        signer_public_key: null,
        is_encrypted: false,
        params: null,
        needs: 0,
      },
    }))
  const submit = (n: number, from: number, session = 1) =>
    world
      .turn({ op: 'clientSubmissions', session, list: list(n, from) })
      .effects.map((e) => ('message' in e && e.message.type === 'error' ? e.message.code : 'submitted'))
  expect(new Set(submit(MAX_WATCHES - 1, 0))).toEqual(new Set(['submitted']))
  expect(submit(3, MAX_WATCHES).sort()).toEqual(['rate_limited', 'rate_limited', 'submitted'])
  expect(submit(1, 0)).toEqual(['submitted']) // it is watched already
  expect(submit(1, 50_000, 2)).toEqual(['submitted'])
  expect(
    world.turn({
      op: 'clientMessage',
      session: 1,
      message: { type: 'task.watch', task_id: 't50000', watch: 'result', attempt: null, offset: 0 },
    }).effects,
  ).toMatchObject([{ message: { type: 'error', code: 'rate_limited', task_id: 't50000' } }])
  expect(world.db.prepare('SELECT count(*) FROM inference_tasks').pluck().get()).toBe(MAX_WATCHES + 1)
  world.turn({ op: 'clientDisconnected', session: 1 })
  expect(submit(2, 60_000)).toEqual(['submitted', 'submitted'])
})

test('a turn that is undone takes back the text and the place of its readers, and is told when it is run again', () => {
  const world = coreHarness()
  const { task_id, attempt } = assignedIn([
    ...world.submit(1).effects,
    ...world.turn(world.hello(1, 'a', 1)).effects,
  ])[0] ?? { task_id: '', attempt: 0 }
  world.turn({
    op: 'clientMessage',
    session: 2,
    message: { type: 'task.watch', task_id, watch: 'output', attempt: null, offset: 0 },
  })
  const piece = (seq: number, delta: string) =>
    world
      .turn({
        op: 'nodeMessage',
        session: 1,
        message: { type: 'task.output', task_id, attempt, seq, delta, channel: 'text' },
      })
      .effects.filter((e) => e.session === 2)
  world.commitsFail(diskFull)
  expect(piece(0, 'one')).toEqual([]) // its accept could not be stored
  world.commitsFail(null)
  world.passes(1000)
  const said = piece(0, 'one')
  expect(said).toEqual([{ session: 2, message: { type: 'task.output', task_id, attempt, offset: 0, delta: 'one' } }])
  expect(piece(1, ' two')).toMatchObject([{ message: { offset: 3, delta: ' two' } }])
  world.commitsFail(diskFull)
  const complete = {
    op: 'nodeMessage' as const,
    session: 1,
    message: { type: 'task.complete' as const, task_id, attempt, output: 'one two', confidence: 1 },
  }
  expect(world.turn(complete).effects.filter((e) => e.session === 2)).toEqual([])
  world.commitsFail(null)
  world.passes(1000)
  expect(piece(2, '!')).toMatchObject([{ message: { offset: 7, delta: '!' } }])
  expect(world.turn(complete).effects.filter((e) => e.session === 2)).toMatchObject([
    { message: { type: 'task.result', status: 'completed' } },
  ])
})

test('the sessions of one address watch a quarter of all that there is, and those of another are none the worse', () => {
  const sends: string[] = []
  const undo = createUndoLog()
  const watches = createWatches({
    task: () => undefined,
    onUnreadable: () => undefined,
    send: (_, m) => sends.push(m.type),
    undo,
    maxOutput: 1000,
  })
  const from = (key: string) => [{ key, times: 1 }]
  const MINE = 25
  for (let session = 0; session <= MINE + 1; session++) watches.join(session, from('home'))
  watches.join(100, from('elsewhere'))
  const fill = (session: number): void => {
    for (let i = 0; i < MAX_WATCHES; i++) watches.watch(session, `t${i}`, false, { attempt: 0, offset: 0 })
    undo.clear()
  }
  for (let session = 0; session < MINE; session++) fill(session)
  expect(watches.refusal(MINE, 't', 0)).toMatchObject({
    code: 'rate_limited',
    message: expect.stringContaining('your address watch 250000'),
  })
  expect(watches.refusal(100, 't', 0)).toBeNull()
  // The end of a session in a turn that is undone, and again in the one that follows, gives its places back once.
  watches.leave(0)
  undo.rollback(0)
  expect(watches.refusal(MINE, 't', 0)).not.toBeNull()
  watches.leave(0)
  undo.clear()
  expect(watches.refusal(MINE, 't', MAX_WATCHES - 1)).toBeNull()
  fill(MINE)
  expect(watches.refusal(MINE + 1, 't', 0)).not.toBeNull()
})
