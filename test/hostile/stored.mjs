import { Database } from '../../dist/store/sqlite.js'
import { answerTo, HONEST_USER, idOf } from './ledger.mjs'

/** Which of the acknowledged tasks are not stored as completed with their own answer. @param acknowledged by number, 1 = it was */
export function checkStored(file, acknowledged) {
  const db = new Database(file, { readonly: true })
  const lost = []
  try {
    const find = db.prepare('SELECT status, output FROM inference_tasks WHERE task_id = ? AND user_address = ?')
    for (const [number, was] of acknowledged.entries()) {
      if (was === 0) continue
      const row = find.get(idOf(number), HONEST_USER)
      if (row?.status !== 'completed' || row.output !== answerTo(idOf(number)))
        lost.push(`${idOf(number)} is ${row?.status ?? 'not there'}`)
    }
  } finally {
    db.close()
  }
  return lost
}
