import { setTimeout as sleep } from 'node:timers/promises'
import { createIdentity } from '../fuzz/honest.mjs'
import { answerTo } from './ledger.mjs'
import { openNodeSession } from './node-session.mjs'
import { createRest } from './rest.mjs'

/** How long a task takes, ms. */
const WORK_MS = 10

/** A node that stays in session and answers each task; it comes back when its session was closed. Resolves with its first welcome. */
export async function workingNode(world, id, from) {
  const { ledger, ended, url } = world
  const identity = createIdentity()
  const heard = {
    'task.assign'({ task_id, attempt }, say) {
      say({ type: 'task.accept', task_id, attempt })
      const done = { type: 'task.complete', task_id, attempt, output: answerTo(task_id), confidence: 0.9 }
      setTimeout(() => say(done), WORK_MS)
    },
    'task.settled': ({ status }) => (status === 'completed' ? ledger.completed() : undefined),
    error({ code, message }) {
      // Where the machine is slow an accept may come too late, and the task is somebody else's: that is no fault.
      if (code !== 'stale_attempt') ledger.wrong(`${id} was answered ${code}: ${message}`)
    },
  }
  let session
  const open = async () => {
    session = await openNodeSession({ url, from, id, identity, models: ['llama-3-8b'], slots: 4, heard, onClose })
  }
  const onClose = async (code, reason) => {
    if (ended.aborted) return
    ledger.closed(`${id} with ${code} ${reason}`)
    for (; !ended.aborted; await sleep(1000)) {
      try {
        return await open()
      } catch (error) {
        ledger.trouble(`${id} cannot come back: ${error.message}`)
      }
    }
  }
  ended.addEventListener('abort', () => session.close())
  await open()
}

/** A node of the old kind: registers over REST, polls and completes. */
export async function pollingNode(world, id, from) {
  const { ledger, ended, url } = world
  const rest = createRest(url, from)
  const trouble = (answer, what) => {
    if (answer.status !== 200 && answer.status !== 204) ledger.trouble(`${what}: ${answer.status} ${answer.code}`)
  }
  const registered = await rest('POST', '/api/v1/nodes/register', {
    node_id: id,
    endpoint: 'http://192.0.2.1:5000',
    public_key: 'placeholder',
    supported_models: ['gemma'],
  })
  if (registered.status !== 200) throw new Error(`${id} cannot register: ${registered.status} ${registered.code}`)
  const work = async ({ task_id }) => {
    const done = { task_id, output: answerTo(task_id), confidence: 0.5, inference_node_id: id }
    while (!ended.aborted) {
      const answer = await rest('POST', '/api/v1/tasks/complete', done)
      trouble(answer, 'complete')
      if (answer.status === 200) ledger.completed()
      if (answer.status >= 200 && answer.status !== 429 && answer.status !== 503) return
      await sleep(500)
    }
  }
  const poll = async () => {
    while (!ended.aborted) {
      const answer = await rest('GET', `/api/v1/nodes/${id}/tasks`)
      trouble(answer, 'poll')
      if (answer.status === 200) await work(answer.data)
      else await sleep(200)
    }
  }
  void poll()
}
