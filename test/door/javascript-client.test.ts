import { expect, test } from 'vitest'
import { encrypt } from '../../src/chain/encryption.js'
import { pollText, queryText } from '../../src/chain/signed-calls.js'
import { as, startGuarded } from '../support/access.js'
import { identity } from '../support/identity.js'
import { addressOfWallet, seconds, signLow } from '../support/signatures.js'
import { startService, task, type Service } from '../support/service.js'
import { systemTime } from '../../src/lib/clock.js'

const signer = { stacks_private_key: `${'01'.repeat(32)}01`, endpoint: 'http://localhost', network: 'testnet' } as const
const wallet = identity('wallet')
const owner = addressOfWallet(wallet)
const node = identity('node')

type Answers = Pick<Service, 'get' | 'post'>
interface Callers {
  /** Who submits. */
  user: Answers
  /** The node. */
  worker: Answers
  /** Who looks at nodes. */
  looker: Answers
  /** Nobody that shows a token. */
  nobody: Answers
}

/** The calls of the public JavaScript client by their names, in the order of a task's life. */
async function everyCall({ user, worker, looker, nobody }: Callers): Promise<Record<string, number>> {
  const statuses: Record<string, number> = {}
  const call = async (name: string, answer: ReturnType<Answers['get']>) => {
    const { status, body } = await answer
    statuses[name] = status
    return body?.data as Record<string, unknown>
  }
  await call(
    'registerNode',
    worker.post('/api/v1/nodes/register', {
      node_id: 'n1',
      endpoint: 'http://192.0.2.1:5000',
      public_key: node.publicKey,
      supported_models: ['llama'],
      performance_score: 0.9,
      max_concurrent_tasks: 4,
    }),
  )
  await call('heartbeat', worker.post('/api/v1/nodes/heartbeat', { node_id: 'n1', status: 'online' }))
  await call('submitInferTask', user.post('/api/v1/tasks/submit', task({ task_id: 't-1', user_address: owner })))
  await call('submitInferenceTask', user.post('/api/v1/tasks', task({ task_id: 't-2', user_address: owner })))
  await call('getAvailableTasks', worker.get('/api/v1/nodes/n1/tasks'))
  const timestamp = seconds()
  const signature = signLow(node, pollText({ node_id: 'n1', timestamp }))
  await call('getAvailableTasks, signed', nobody.post('/api/v1/nodes/tasks', { node_id: 'n1', timestamp, signature }))
  const result = { task_id: 't-1', output: 'Paris.', confidence: 0.9, inference_node_id: 'n1' }
  await call('completeTask', worker.post('/api/v1/tasks/complete', result))
  const status = await call('getInferTaskStatus', user.get('/api/v1/tasks/t-1/status'))
  expect(status).toMatchObject({ status: 'completed', result: { output: 'Paris.' } })
  await call('getStats', nobody.get('/api/v1/stats'))
  await call('getAllNodes', looker.get('/api/v1/nodes'))
  const asked = async (name: string, task_id: string) =>
    call(
      name,
      nobody.post('/api/v1/tasks/status', {
        task_id,
        public_key: wallet.publicKey,
        signature: `${signLow(wallet, queryText({ task_id, timestamp }))}00`,
        timestamp,
      }),
    )
  expect(await asked('queryInferenceTaskStatus', 't-1')).toMatchObject({ status: 'completed' })
  const { public_key } = await call('getSignerPublicKey', nobody.get('/api/v1/encryption/public-key'))
  const key = String(public_key)
  const secret = task({
    task_id: 't-3',
    user_address: owner,
    is_encrypted: true,
    signer_public_key: key,
    user_input: encrypt('a secret', key),
    context: encrypt('', key),
  })
  expect(await call('submitEncryptedInferenceTask', user.post('/api/v1/tasks/submit', secret))).toMatchObject({
    encrypted: true,
  })
  // It asks again and again until the task is completed; the owner reads what it has asked in the clear.
  expect(await asked('waitForInferenceResult', 't-3')).toMatchObject({ status: 'pending', user_input: 'a secret' })
  return statuses
}

test('every call of the JavaScript client works on an open service, unsigned', async () => {
  const service = await startService({}, systemTime, { signer })
  const statuses = await everyCall({ user: service, worker: service, looker: service, nobody: service })
  expect(statuses).toEqual(Object.fromEntries(Object.keys(statuses).map((name) => [name, 200])))
  expect(Object.keys(statuses)).toHaveLength(14)
})

test('in public the signed ones do, and the rest with a token', async () => {
  const tokens: Record<string, string> = {}
  const service = await startGuarded(
    {},
    (make) => {
      tokens['user'] = make('user', { owners: [owner] })
      tokens['node'] = make('node')
      tokens['viewer'] = make('viewer')
    },
    { signer },
  )
  const statuses = await everyCall({
    user: as(service, tokens['user'] ?? ''),
    worker: as(service, tokens['node'] ?? ''),
    looker: as(service, tokens['viewer'] ?? ''),
    nobody: service,
  })
  expect(statuses).toEqual(Object.fromEntries(Object.keys(statuses).map((name) => [name, 200])))
  // Without one they are refused.
  expect((await service.post('/api/v1/tasks', task({ user_address: owner }))).status).toBe(401)
  expect((await service.get('/api/v1/nodes/n1/tasks')).status).toBe(401)
})
