import { statSync } from 'node:fs'
import { StoreError } from '../open.js'
import { askThread } from './aside.js'
import type { CheckAnswer } from './check-thread.js'
import { checkDatabase, type Finding } from './check.js'

/** Up to here a check takes less than to start a thread for it, bytes. */
const MAX_AT_ONCE_BYTES = 4 * 1024 * 1024

/**
 * Checks a file, a large one in a thread of its own: it takes as long as reading the file does.
 * @throws StoreError when it cannot be checked; Abandoned when `signal` aborts
 */
export async function checkAside(file: string, signal: AbortSignal): Promise<Finding[]> {
  if (statSync(file).size <= MAX_AT_ONCE_BYTES) return checkDatabase(file)
  const answer = await askThread<CheckAnswer>(new URL('./check-thread.js', import.meta.url), file, signal)
  if ('error' in answer) throw new StoreError(answer.error)
  return answer.findings
}
