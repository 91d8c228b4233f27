import { expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import type { Assignment, ServerMessage } from '../../src/wire/node.js'
import { assignsSoFar, connectNode, nextAssign, nextSettled } from '../support/node-session.js'
import { inspect, startService } from '../support/service.js'

test('an assignment says everything about the task', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  const before = Math.floor(Date.now() / 1000)
  await service.submit({
    task_id: 'A',
    user_input: 'naïve \u0000 🦙',
    context: 'ctx',
    max_infer_time: 77,
    infer_fee: '9007199254740991',
    model_name: 'Llama-3-8B',
    signed_tx: '0xabc',
  })
  const { lease_expires_at, ...rest } = await nextAssign(node, 'A')
  expect(rest).toEqual({
    type: 'task.assign',
    task_id: 'A',
    attempt: 1,
    model_name: 'Llama-3-8B',
    model_type: 'llama',
    user_input: 'naïve \u0000 🦙',
    context: 'ctx',
    max_infer_time: 77,
    infer_fee: 9007199254740991,
    signed_tx: '0xabc',
    stream: false,
  })
  expect(Number.isInteger(lease_expires_at)).toBe(true)
  expect(lease_expires_at).toBeGreaterThanOrEqual(before + 77 - 1)
  expect(lease_expires_at).toBeLessThanOrEqual(Math.floor(Date.now() / 1000) + 77 + 1)
})

test('an assignment without a transaction has signed_tx null and an empty context', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A', context: undefined })
  expect(await nextAssign(node, 'A')).toMatchObject({ signed_tx: null, context: '' })
})

test('an assignment is in the file before it is sent, and so is a result before it is settled', async () => {
  const service = await startService()
  const seen: unknown[] = []
  const send = WebSocket.prototype.send
  const spy = vi.spyOn(WebSocket.prototype, 'send').mockImplementation(function (this: WebSocket, ...args: unknown[]) {
    const said = JSON.parse(String(args[0])) as ServerMessage
    if (said.type === 'task.assign' || said.type === 'task.settled') {
      seen.push({
        type: said.type,
        task: inspect(service.file, (db) =>
          db
            .prepare('SELECT status, attempt, inference_node_id, output FROM inference_tasks WHERE task_id = ?')
            .get(said.task_id),
        ),
        attempt: inspect(service.file, (db) =>
          db
            .prepare('SELECT node_id, "end" FROM attempts WHERE task_id = ? AND attempt = ?')
            .get(said.task_id, said.attempt),
        ),
      })
    }
    Reflect.apply(send, this, args)
  })
  try {
    const node = await connectNode(service, 'n')
    await service.submit({ task_id: 'A' })
    node.complete(await nextAssign(node, 'A'), 'words')
    await nextSettled(node, 'A')
  } finally {
    spy.mockRestore()
  }
  expect(seen).toEqual([
    {
      type: 'task.assign',
      task: { status: 'in_progress', attempt: 1, inference_node_id: 'n', output: null },
      attempt: { node_id: 'n', end: null },
    },
    {
      type: 'task.settled',
      task: { status: 'completed', attempt: 1, inference_node_id: 'n', output: 'words' },
      attempt: { node_id: 'n', end: 'completed' },
    },
  ])
})

test('a node never has more unfinished tasks than its slots', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 3 })
  for (let i = 0; i < 12; i++) await service.submit()
  const held = new Map<string, Assignment>()
  let most = 0
  for (let done = 0; done < 12; done++) {
    for (let i = held.size; i < Math.min(3, 12 - done); i++) {
      const a = await node.next('task.assign')
      held.set(a.task_id, a)
    }
    expect(await assignsSoFar(node)).toEqual([])
    most = Math.max(most, held.size)
    const [one] = held.values()
    if (one === undefined) throw new Error('nothing is held')
    held.delete(one.task_id)
    node.complete(one)
    await nextSettled(node, one.task_id)
  }
  expect(most).toBe(3)
})

test('an assignment that was not accepted yet takes a slot', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  await nextAssign(node, 'A')
  await service.submit({ task_id: 'B' })
  expect(await assignsSoFar(node)).toEqual([])
  expect(await service.status('B')).toMatchObject({ status: 'pending' })
})

test('an input too large to push is 413 at submission and the largest that is taken arrives whole', async () => {
  const service = await startService({ max_message_bytes: 16_384 })
  expect(
    await service.post('/api/v1/tasks/submit', {
      user_address: 'u',
      user_input: 'x'.repeat(16_384),
      infer_fee: 1,
      max_infer_time: 9,
      model_name: 'llama',
    }),
  ).toMatchObject({ status: 413 })
  // Every character takes six bytes as JSON.
  expect(
    await service.post('/api/v1/tasks/submit', {
      user_address: 'u',
      user_input: '\u0001'.repeat(3_000),
      infer_fee: 1,
      max_infer_time: 9,
      model_name: 'llama',
    }),
  ).toMatchObject({ status: 413 })
  const id = '\u{1F999}'.repeat(60)
  const model_name = `llama-${'é'.repeat(122)}`
  await service.submit({ task_id: id, model_name, user_input: 'x'.repeat(16_384 - 2_048 - 6) })
  const node = await connectNode(service, 'n')
  const a = await nextAssign(node, id)
  expect(a.user_input.length).toBe(16_384 - 2_048 - 6)
  expect(Math.max(...node.frames.map((f) => Buffer.byteLength(f)))).toBeLessThanOrEqual(16_384)
})
