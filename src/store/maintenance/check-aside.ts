import { statSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { StoreError } from '../open.js'
import type { CheckAnswer } from './check-thread.js'
import { checkDatabase, type Finding } from './check.js'

/** Up to here a check takes less than to start a thread for it, bytes. */
const MAX_AT_ONCE_BYTES = 4 * 1024 * 1024

/** A copy is not made any more: its reason is over, and nothing has failed. */
export class Abandoned extends Error {}

/**
 * Checks a file, a large one in a thread of its own: it takes as long as reading the file does.
 * @throws StoreError when it cannot be checked; Abandoned when `signal` aborts
 */
export async function checkAside(file: string, signal: AbortSignal): Promise<Finding[]> {
  if (statSync(file).size <= MAX_AT_ONCE_BYTES) return checkDatabase(file)
  return new Promise((settle, reject) => {
    const thread = new Worker(new URL('./check-thread.js', import.meta.url), { workerData: file })
    const abandon = (): void => {
      reject(new Abandoned('the service stops'))
      void thread.terminate()
    }
    signal.addEventListener('abort', abandon, { once: true })
    if (signal.aborted) abandon()
    thread.once('message', (answer: CheckAnswer) =>
      'error' in answer ? reject(new StoreError(answer.error)) : settle(answer.findings),
    )
    thread.once('error', reject)
    thread.once('exit', () => {
      signal.removeEventListener('abort', abandon)
      reject(new StoreError(`${file}: the check ended without an answer`)) // changes nothing after an answer
    })
  })
}
