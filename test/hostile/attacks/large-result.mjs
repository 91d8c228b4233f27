import { createIdentity } from '../../fuzz/honest.mjs'
import { openNodeSession } from '../node-session.mjs'
import { createRest } from '../rest.mjs'

const RESULT_BYTES = 3 * 1024 * 1024
const PATIENCE_MS = 60_000

/** A task of the attacker's own with a result of 3 MiB, by a node of its own. @returns its id */
export async function makeLargeResult(url, from) {
  const rest = createRest(url, from)
  const node = { settled: () => undefined, failed: () => undefined }
  const settled = new Promise((resolve, reject) => Object.assign(node, { settled: resolve, failed: reject }))
  const late = setTimeout(() => node.failed(new Error('the large result was not settled in time')), PATIENCE_MS)
  const session = await openNodeSession({
    url,
    from,
    id: 'hostile',
    identity: createIdentity(),
    models: ['hostile-model'],
    heard: {
      'task.assign'({ task_id, attempt }, say) {
        say({ type: 'task.accept', task_id, attempt })
        say({ type: 'task.complete', task_id, attempt, output: 'x'.repeat(RESULT_BYTES), confidence: 1 })
      },
      'task.settled': () => node.settled(),
      error: ({ message }) => node.failed(new Error(message)),
    },
  })
  const answer = await rest('POST', '/api/v1/tasks/submit', {
    task_id: 'hostile-large',
    user_address: 'ST-hostile',
    user_input: 'x',
    infer_fee: 1,
    max_infer_time: 60,
    model_name: 'hostile-model',
  })
  if (answer.status !== 200) throw new Error(`the attacker's own task was refused: ${answer.status} ${answer.code}`)
  await settled
  clearTimeout(late)
  session.close()
  return 'hostile-large'
}
