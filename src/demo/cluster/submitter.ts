import { setTimeout as sleep } from 'node:timers/promises'
import { InferenceClient } from '../../client/index.js'
import { createWallet } from '../wallet.js'

const USERS = 4
const PAUSE_MS = 150
/** The longest that one submission, or one question, is tried, seconds. */
const PATIENCE_SECONDS = 40
const AT_ONCE = 8

export interface Submitter {
  /** The ids of the tasks that were acknowledged. */
  acknowledged: string[]
  /** Resolves when all is submitted and acknowledged. */
  done: Promise<void>
  /** From now on the next acknowledgement counts of what is submitted from now on. @returns when it came, on Date.now */
  nextAcknowledged(): Promise<number>
  /** What became of the tasks. */
  outcomes(): Promise<Outcomes>
  close(): Promise<void>
}

export interface Outcomes {
  completed: number
  /** How many were begun by more than one node, or twice. */
  runTwice: number
  /** What is wrong, one sentence a task. */
  problems: string[]
}

/** A program that has tasks for the service and knows the addresses of all its coordinators. */
export function startSubmitter(urls: readonly string[], count: number): Submitter {
  const client = new InferenceClient({ url: urls, patience: PATIENCE_SECONDS })
  const acknowledged: string[] = []
  const waiting = new Set<{ since: number; resolve: (at: number) => void }>()
  let next = 0
  const user = async (number: number): Promise<void> => {
    const { address } = createWallet(`user ${number}`)
    while (next < count) {
      const task_id = `cluster-demo-${++next}`
      const begun = Date.now()
      await client.submit({
        task_id,
        user_address: address,
        user_input: `Question ${task_id}?`,
        model_name: 'llama-3-8b',
        infer_fee: 1000,
        max_infer_time: 60,
      })
      acknowledged.push(task_id)
      for (const one of waiting)
        if (begun >= one.since) {
          waiting.delete(one)
          one.resolve(Date.now())
        }
      await sleep(PAUSE_MS)
    }
  }
  const done = Promise.all(Array.from({ length: USERS }, (_, i) => user(i))).then(() => undefined)
  // What it fails with is heard where it is awaited.
  done.catch(() => undefined)

  return {
    acknowledged,
    done,
    nextAcknowledged: () =>
      Promise.race([
        new Promise<number>((resolve) => void waiting.add({ since: Date.now(), resolve })),
        done.then(() => Promise.reject(new Error('nothing was submitted any more'))),
      ]),
    async outcomes() {
      const found: Outcomes = { completed: 0, runTwice: 0, problems: [] }
      const ids = [...acknowledged]
      const line = async (): Promise<void> => {
        for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
          const task = await client.get(id)
          if (task.attempts.filter((attempt) => attempt.accepted_at !== null).length > 1) found.runTwice++
          if (task.status !== 'completed') found.problems.push(`${id} is ${task.status}: ${task.error ?? ''}`)
          else if (!(task.result?.output ?? '').includes(id))
            found.problems.push(`${id} has an answer to something else`)
          else found.completed++
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, line))
      return found
    },
    close: () => client.close(),
  }
}
