import { parentPort, workerData } from 'node:worker_threads'
import { checkDatabase, type Finding } from './check.js'

/** What the thread says: what it found, or why it could not look. */
export type CheckAnswer = { findings: Finding[] } | { error: string }

/** The body of a thread: a check of a large file takes minutes, in which the service has to serve. */
function answer(file: unknown): CheckAnswer {
  try {
    return { findings: checkDatabase(String(file)) }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

parentPort?.postMessage(answer(workerData))
