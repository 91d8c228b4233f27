import { InferenceClient } from '../../dist/client/index.js'
import { ask, createDoor } from './doors.mjs'
import { sleepUntil } from './wait.mjs'

/** The pause of a submitter between two submissions, ms: what is to be seen are faults, not a full machine. */
const PAUSE_MS = 60
/** So many tasks of a submitter in session are on their way at once. */
const IN_SESSION = 8
/** The probe asks the next coordinator soon: what it measures are takeovers, not its own patience. */
const PROBE_ANSWER_MS = 1500
const PROBE_PAUSE_MS = 100

/** A task by its name: the same in every run of a seed. */
function submissionOf(choice, task_id) {
  const mark = `${task_id} — 你好 🚀 "\\\n`
  const size = choice('size', task_id)
  return {
    task_id,
    user_address: `ST-${task_id.split('-')[0]}`,
    user_input: mark.repeat(size < 0.9 ? 1 + Math.floor(size * 5) : Math.floor((size * 20_000) / mark.length)),
    context: choice('context', task_id) < 0.5 ? '' : 'be brief',
    infer_fee: Math.floor(choice('fee', task_id) * 5000),
    max_infer_time: 60,
    model_name: choice('model', task_id) < 0.5 ? 'llama-3-8b' : 'mistral-7b',
  }
}

/** Submits over REST, alone and in batches, until `enough`; what is not answered is submitted again, under the same id. */
export async function restSubmitter({ who, round, urls, ledger, choice, enough, ended }) {
  const call = createDoor(urls, ledger, who.length + round)
  for (let turn = 0, number = 0; !enough.aborted; turn++) {
    const size = choice('batch', who, round, turn) < 0.7 ? 1 : 2 + Math.floor(choice('of', who, round, turn) * 6)
    const tasks = Array.from({ length: size }, () => submissionOf(choice, `${who}-${round}-${number++}`))
    const times = choice('again', who, round, turn) < 0.1 ? 2 : 1 // some say everything twice
    for (let i = 0; i < times; i++) {
      const answer =
        size === 1
          ? await call('POST', '/api/v1/tasks/submit', tasks[0], ended)
          : await call('POST', '/api/v1/tasks/batch', { tasks }, ended)
      if (answer === null) return
      const results = size === 1 ? [answer.body?.data] : (answer.body?.data?.results ?? [])
      for (const [k, task] of tasks.entries())
        if (answer.status === 200 && results[k]?.task_id === task.task_id) ledger.acknowledged(task, round)
        else if (results[k]?.code !== 'unavailable')
          ledger.violate(`submit ${task.task_id}: ${answer.status} ${JSON.stringify(results[k] ?? answer.body)}`)
    }
    await sleepUntil(PAUSE_MS, enough)
  }
}

/** Submits in sessions with the client library, and waits there for every end. */
export async function sessionSubmitter({ who, round, urls, ledger, choice, enough, ended }) {
  const client = new InferenceClient({ url: urls, patience: 600 })
  const onEnded = () => void client.close()
  ended.addEventListener('abort', onEnded)
  const one = async (task) => {
    try {
      const result = await client.run(task)
      ledger.acknowledged(task, round)
      ledger.observed(task.task_id, result.status, result.output, 'told in a session')
    } catch (error) {
      if (ended.aborted) return
      if (error.code === 'failed' || error.code === 'timeout') {
        ledger.acknowledged(task, round)
        ledger.observed(task.task_id, error.code, null, 'told in a session')
      } else ledger.violate(`${task.task_id} in a session: ${error.code} ${error.message}`)
    }
  }
  let number = 0
  const line = async () => {
    while (!enough.aborted) {
      await one(submissionOf(choice, `${who}-${round}-${number++}`))
      await sleepUntil(PAUSE_MS, enough)
    }
  }
  await Promise.all(Array.from({ length: IN_SESSION }, line))
  ended.removeEventListener('abort', onEnded)
  await client.close()
}

/** Looks again and again at what there is, at every door, by id and by list. */
export async function observer({ urls, ledger, choice, ended }) {
  for (let look = 0; !ended.aborted; look++) {
    const url = urls[look % urls.length]
    const ids = [...ledger.tasks.keys()]
    const id = ids.at(-1 - Math.floor(choice('look', look) * Math.min(100, ids.length)))
    if (id !== undefined) {
      const answer = await ask(url, 'GET', `/api/v1/tasks/${id}/status`, undefined, ended)
      if (answer?.status === 200) {
        const { status, result } = answer.body.data
        ledger.observed(id, status, result?.output ?? null, `GET at ${url}`, answer.sent)
        // Of a former owner that has not noticed yet; after the healing it would be lost.
      } else if (answer?.status === 404) ledger.count('reads older than what was known')
    }
    if (look % 10 === 0) {
      const answer = await ask(url, 'GET', '/api/v1/tasks?limit=100', undefined, ended)
      for (const task of answer?.status === 200 ? answer.body.data.tasks : [])
        ledger.observed(task.task_id, task.status, null, `list at ${url}`, answer.sent)
    }
    await sleepUntil(30, ended)
  }
}

/** Submits one small task after the other, and tells how long nobody was served. */
export function createProbe({ urls, ledger, choice }) {
  let first = null
  let asked = Infinity
  return {
    /** From now on the next acknowledgement counts. */
    mark() {
      asked = performance.now()
      first = null
    },
    /** ms from the mark to the first acknowledgement of what was sent after it; null: none yet. */
    answeredAfter: () => first,
    async run({ round, enough, ended }) {
      const call = createDoor(urls, ledger, round, PROBE_ANSWER_MS)
      for (let number = 0; !enough.aborted; number++) {
        const task = submissionOf(choice, `probe-${round}-${number}`)
        const answer = await call('POST', '/api/v1/tasks/submit', task, ended)
        if (answer === null) return
        if (answer.status === 200) {
          ledger.acknowledged(task, round)
          if (first === null && answer.sent >= asked) first = performance.now() - asked
        } else ledger.violate(`submit ${task.task_id}: ${answer.status} ${JSON.stringify(answer.body)}`)
        await sleepUntil(PROBE_PAUSE_MS, enough)
      }
    },
  }
}
