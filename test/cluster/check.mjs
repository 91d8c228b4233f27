import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { clusterCommand, ownersOf } from './coordinators.mjs'
import { createDoor } from './doors.mjs'
import { inFile } from './files.mjs'

/** How long owner and followers may take to be at the same record, ms. */
const LEVEL_MS = 15_000
/** How long a task may be answered by nobody, ms: on a busy machine an owner is taken over also while all is whole. */
const ANSWER_MS = 20_000
/** So many tasks of earlier rounds are asked for again. */
const AGAIN = 200
const AT_ONCE = 16

/** Everything that must hold when all is healed and all work has ended. What does not is noted in the ledger. */
export async function checkAll({ members, ledger, round, choice }) {
  if ((await ownersOf(members)).length === 0) return ledger.violate('nobody is the owner after everything was healed')
  await checkAnswers(members, { ledger, round, choice })
  const [owner] = await ownersOf(members)
  if (owner === undefined) return ledger.violate('nobody is the owner after every task was asked for')
  // One that reads the log from its beginning has old rows until it is level.
  for (const other of members) if (other !== owner) await checkLevel(owner, other, ledger)
  const { tasks, ends, runs } = ledger
  for (const member of members)
    for (const wrong of await inThread({ file: member.file, ledger: { tasks, ends, runs } }))
      ledger.violate(`${member.name}: ${wrong}`)
  const { code, out } = await clusterCommand(owner, 'verify')
  if (code !== 0) ledger.violate(`I3: cluster verify ended with ${code}: ${out.slice(0, 400)}`)
}

/** I1 and I2 through the door: every task of this round, and some of those before. */
async function checkAnswers(members, { ledger, round, choice }) {
  const own = [...ledger.tasks].filter(([, task]) => task.round === round).map(([id]) => id)
  const older = [...ledger.tasks].filter(([, task]) => task.round !== round).map(([id]) => id)
  const some = older.filter((id) => choice('again', round, id) * older.length < AGAIN)
  const ids = [...own, ...some]
  const urls = members.map((member) => member.url)
  const line = async () => {
    const get = createDoor(urls, ledger)
    for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
      const answer = await get('GET', `/api/v1/tasks/${id}/status`, undefined, AbortSignal.timeout(ANSWER_MS))
      const task = answer?.body?.data
      if (answer?.status !== 200)
        ledger.violate(`I1: ${id} was acknowledged and is answered ${answer?.status ?? 'not at all'}`)
      else if (task.status === 'pending' || task.status === 'in_progress')
        ledger.violate(`I6: ${id} has not ended: ${task.status}`)
      else ledger.observed(id, task.status, task.result?.output ?? null, 'GET after the round')
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, line))
}

/** What the thread of file-thread.mjs finds. */
function inThread(workerData) {
  const thread = new Worker(new URL('./file-thread.mjs', import.meta.url), { workerData })
  return new Promise((resolve, reject) => thread.once('message', resolve).once('error', reject))
}

/** I1 and I2 in a file. @returns what is wrong, one sentence each */
export function checkRows(db, ledger) {
  const wrong = []
  const integrity = db.pragma('integrity_check', { simple: true })
  if (integrity !== 'ok') return [`integrity_check: ${integrity}`]
  const rows = new Map(
    db
      .prepare('SELECT * FROM inference_tasks')
      .all()
      .map((row) => [row.task_id, row]),
  )
  const attempts = new Map(
    db
      .prepare('SELECT * FROM attempts')
      .all()
      .map((row) => [`${row.task_id} ${row.attempt}`, row]),
  )
  for (const [id, { submission }] of ledger.tasks) {
    const row = rows.get(id)
    if (row === undefined) wrong.push(`I1: ${id} was acknowledged and is lost`)
    else
      for (const [field, value] of Object.entries(submission))
        if (row[field] !== value) wrong.push(`I1: ${id}: ${field} has changed`)
  }
  for (const [id, { status, output, how }] of ledger.ends) {
    const row = rows.get(id)
    if (row?.status !== status) wrong.push(`I2: ${id} was ${status} (${how}) and is ${row?.status}`)
    else if (output !== null && row.output !== output) wrong.push(`I2: ${id} had another output (${how})`)
  }
  for (const [id, runs] of ledger.runs)
    for (const { attempt, node } of runs) {
      const row = attempts.get(`${id} ${attempt}`)
      if (row?.node_id !== node)
        wrong.push(`attempt ${attempt} of ${id} was computed by ${node}, and belongs to ${row?.node_id ?? 'nobody'}`)
    }
  return wrong
}

/** I4: at the same record both files hold the same. */
async function checkLevel(owner, other, ledger) {
  let last = 'they were never at the same record'
  for (const end = Date.now() + LEVEL_MS; Date.now() < end; await sleep(200)) {
    // One that has set its file aside has none until it is given a copy.
    if (!existsSync(other.file)) continue
    const tables = await inThread({ files: [owner.file, other.file] })
    if (tables === null) continue
    if (tables.length === 0) return
    last = `at the same record they differ in ${tables.join(', ')}`
  }
  ledger.violate(`I4: ${owner.name} and ${other.name}: ${last}`)
}

/** Of the tasks that were computed more than once: how each attempt but the last has ended. */
export function reasonsOfRepeats(file, ledger) {
  const reasons = {}
  inFile(file, (db) => {
    const find = db.prepare('SELECT "end", fault FROM attempts WHERE task_id = ? AND attempt = ?')
    for (const [id, runs] of ledger.runs)
      for (const { attempt } of runs.slice(0, -1)) {
        const row = find.get(id, attempt)
        // A late result of it was taken, and the attempt that ran by then was given up.
        const isSalvaged = row?.end === 'completed' && find.get(id, attempt + 1)?.end === 'superseded'
        const reason = isSalvaged
          ? 'completed late'
          : row?.end == null || row.end === 'completed'
            ? 'without a reason'
            : `${row.end} (${row.fault})`
        reasons[reason] = (reasons[reason] ?? 0) + 1
      }
  })
  return reasons
}
