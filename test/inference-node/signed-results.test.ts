import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createIdentity } from '../../src/inference-node/index.js'
import { resultText, verifySignature } from '../../src/wire/keys.js'
import { connectedNode, startNode } from '../support/inference-node.js'
import { startCoordinator } from '../support/scripted-coordinator.js'
import { tempDir } from '../support/temp-dir.js'

const holds = (
  key: string,
  m: { task_id: string; attempt: number; output: string; signature?: string | null | undefined },
) =>
  verifySignature(
    key,
    resultText(m.task_id, m.attempt, createHash('sha256').update(m.output).digest('hex')),
    m.signature ?? '',
  )

test('a node signs its results with the key that its session has proven', async () => {
  const { session, node } = await connectedNode({ work: () => 'Zürich 𝒳' })
  session.assign({ task_id: 'A', attempt: 3 })
  const result = await session.expect('task.complete')
  expect(holds(node.publicKey, result)).toBe(true)
})

test('a node that is not to sign signs nothing', async () => {
  const { session } = await connectedNode({ signResults: false })
  session.assign()
  expect(await session.expect('task.complete')).not.toHaveProperty('signature')
})

test('a result of before a start with another key is signed with the new one', async () => {
  const coordinator = await startCoordinator()
  const unsettledFolder = join(tempDir(), 'unsettled')
  const both = { coordinator: coordinator.url, unsettledFolder, nodeId: 'n' }
  const first = await startNode({ ...both, identity: createIdentity() })
  const session = await coordinator.welcomed()
  session.assign()
  const before = await session.expect('task.complete')
  expect(holds(first.node.publicKey, before)).toBe(true)
  await first.node.stop()

  const second = await startNode({ ...both, identity: createIdentity() })
  const again = await (await coordinator.welcomed()).expect('task.complete')
  expect(again.output).toBe(before.output)
  expect([holds(first.node.publicKey, again), holds(second.node.publicKey, again)]).toEqual([false, true])
})
