import { expect, test } from 'vitest'
import { lowS, parseCompact, resultText } from '../../src/wire/keys.js'
import { systemTime } from '../../src/lib/clock.js'
import { identity, signText } from '../support/identity.js'
import { beginTask, connectNode, nextAssign, nextSettled, type TestNode } from '../support/node-session.js'
import { holds, receiptOf, sha256, signer } from '../support/receipts.js'
import { startService, inspect } from '../support/service.js'
import { until } from '../support/wait.js'
import { Database } from '../../src/store/sqlite.js'

const start = () => startService({}, systemTime, { signer })
type Attempt = { task_id: string; attempt: number }

const signatureOf = (a: Attempt, output: string, who = 'n'): string =>
  signText(identity(who).key, resultText(a.task_id, a.attempt, sha256(output)))
const completion = (a: Attempt, output: string, signature: unknown) => ({
  type: 'task.complete',
  task_id: a.task_id,
  attempt: a.attempt,
  output,
  confidence: 1,
  signature,
})
const high = (signature: string): string => {
  const n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const s = BigInt(`0x${signature.slice(64)}`)
  return signature.slice(0, 64) + (s > n / 2n ? s : n - s).toString(16).padStart(64, '0')
}
/** What the node is told of a completion that is refused. */
const refusal = async (node: TestNode, a: Attempt) => {
  const { code, message } = await node.next('error', { task_id: a.task_id })
  return [code, message]
}

test('the signature of a result is verified, and part of the receipt', async () => {
  const service = await start()
  const node = await connectNode(service, 'n')
  const output = 'Zürich\n'
  const a = await beginTask(service, node, 'A: 1')
  node.say(completion(a, output, signatureOf(a, output)))
  await nextSettled(node, 'A: 1')
  const { receipt } = await receiptOf(service, 'A: 1')
  const text = `inference-result.v1:A: 1:1:${receipt.output_hash}`
  expect(holds(identity('n').publicKey, text, receipt.node_signature ?? '')).toBe(true)
  expect(receipt.node_key).toBe(identity('n').publicKey)
})

test('a high s is taken, and kept as the low one', async () => {
  const service = await start()
  const node = await connectNode(service, 'n')
  const a = await beginTask(service, node, 'A')
  const signature = high(signatureOf(a, 'x'))
  node.say(completion(a, 'x', `0x${signature.toUpperCase()}`))
  await nextSettled(node, 'A')
  const compact = parseCompact(signature)
  expect((await receiptOf(service, 'A')).receipt.node_signature).toBe(compact === null ? null : lowS(compact))
})

test.each([
  ['of another output', (a: Attempt) => signatureOf(a, 'another')],
  ['of another attempt', (a: Attempt) => signatureOf({ ...a, attempt: 2 }, 'x')],
  ['of another task', (a: Attempt) => signatureOf({ ...a, task_id: 'B' }, 'x')],
  ['by another key', (a: Attempt) => signatureOf(a, 'x', 'm')],
  ['that is none', () => 'zz'],
  ['of zeros', () => '00'.repeat(64)],
  ['that is above the order of the curve', () => 'ff'.repeat(64)],
])('a signature %s completes nothing; the node is told, and may send the result again', async (_what, signature) => {
  const service = await start()
  const node = await connectNode(service, 'n')
  const a = await beginTask(service, node, 'A')
  node.say(completion(a, 'x', signature(a)))
  const [code, message] = await refusal(node, a)
  expect(code).toBe('invalid_message')
  expect(message).toMatch(/^signature: must be .*; the result was not taken$/)
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', result: null })
  node.say(completion(a, 'x', signatureOf(a, 'x')))
  await nextSettled(node, 'A')
})

test('messages stay in order: what comes behind a signed result waits for it, and what is said before it was leaves with it', async () => {
  const service = await start()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 300, batch: true })
  const ids = Array.from({ length: 200 }, (_, i) => `T${i}`)
  for (const task_id of ids) await service.submit({ task_id })
  const all = []
  for (const id of ids) all.push(await nextAssign(node, id))
  // A signed completion, then a failure of the same attempt, which would count if it were read first.
  const frame = all.flatMap((a, i) => [
    i % 3 === 0 ? completion(a, 'x', undefined) : completion(a, 'x', signatureOf(a, 'x')),
    { type: 'task.fail', task_id: a.task_id, attempt: a.attempt, error: 'no', retryable: false },
  ])
  for (let at = 0; at < frame.length; at += 250) node.socket.send(JSON.stringify(frame.slice(at, at + 250)))
  await node.beat()
  const ends = inspect(service.file, (db) =>
    db.prepare('SELECT status, count(*) AS n FROM inference_tasks GROUP BY status').all(),
  )
  expect(ends).toEqual([{ status: 'completed', n: 200 }])
})

test('a node that leaves behind its signed result has brought it', async () => {
  const service = await start()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 40 })
  const all = []
  for (let i = 0; i < 40; i++) all.push(await beginTask(service, node, `T${i}`))
  for (const a of all) node.say(completion(a, 'x', signatureOf(a, 'x')))
  node.socket.close(1000)
  await node.closed
  for (const a of all) expect(await service.reaches(a.task_id, 'completed')).toMatchObject({ attempts: 1 })
})

test('the signature is in the receipt after a restart too, and goes with its task', async () => {
  const service = await start()
  const node = await connectNode(service, 'n')
  const a = await beginTask(service, node, 'A')
  node.say(completion(a, 'x', signatureOf(a, 'x')))
  await nextSettled(node, 'A')
  const before = await receiptOf(service, 'A')
  await service.stop()
  const again = await startService({ database_path: service.file }, systemTime, { signer })
  expect((await receiptOf(again, 'A')).receipt).toEqual(before.receipt)
  await again.stop()
  const db = new Database(service.file)
  db.exec('UPDATE inference_tasks SET created_at = created_at - 864000, updated_at = updated_at - 864000')
  db.close()
  const last = await startService({ database_path: service.file, retention_days: 1 }, systemTime, { signer })
  await until(async () => (await last.get('/api/v1/tasks/A')).status === 404, 'the task retired')
  expect(inspect(last.file, (d) => d.prepare('SELECT count(*) FROM result_signatures').pluck().get())).toBe(0)
})
