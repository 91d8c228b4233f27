import { Worker } from 'node:worker_threads'
import { StoreError } from '../open.js'

/** What was begun is not wanted any more: its reason is over, and nothing has failed. */
export class Abandoned extends Error {}

/**
 * What a thread of its own says of a file, beside whatever else the process does.
 * @param script the body of the thread, whose `workerData` is the file, and whose first message the answer
 * @throws StoreError when the thread has failed; Abandoned when `signal` aborts
 */
export function askThread<Answer>(script: URL, file: string, signal?: AbortSignal): Promise<Answer> {
  return new Promise((settle, reject) => {
    const thread = new Worker(script, { workerData: file })
    const abandon = (): void => {
      reject(new Abandoned('the service stops'))
      void thread.terminate()
    }
    signal?.addEventListener('abort', abandon, { once: true })
    if (signal?.aborted === true) abandon()
    thread.once('message', settle)
    thread.once('error', reject)
    thread.once('exit', () => {
      signal?.removeEventListener('abort', abandon)
      reject(new StoreError(`${file}: the check ended without an answer`)) // changes nothing after an answer
    })
  })
}
