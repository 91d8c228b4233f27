import { deepStrictEqual } from 'node:assert/strict'
import { createAssembler } from '../../../src/cluster/records.js'
import { openDatabase } from '../../../src/store/open.js'
import { replicaOf, type StoredRecord } from '../../../src/store/replica.js'
import { Database } from '../../../src/store/sqlite.js'
import { applyRecords } from '../../../src/cluster/follower.js'
import type { JournalMessage } from '../../../src/cluster/port.js'
import { silentLog, type Logger } from '../../../src/lib/log.js'
import { contentOf } from '../../support/journal-copy.js'
import { place, type Broken } from './model-member.js'
import type { Schedule } from './steps.js'
import { seeded } from '../../support/seeded.js'
import { comes, pass, stopTime } from './virtual-time.js'
import { createWorld, type World } from './world.js'

/** All have begun, and one of them owns the work. */
const BEGIN_MS = 20_000
/** After the last fault one of them serves within this time, and then all are level. */
const RECOVERY_MS = 60_000
const STOP_MS = 30_000
const QUIET_MS = 100

export interface RunParts {
  schedule: Schedule
  root: string
  /** An empty database. */
  template: string
  broken?: Broken
  logger?: Logger
}

/** Runs a schedule against real members, ownerships, cores and files. @throws what was contradicted */
export async function run({ schedule, root, template, broken = {}, logger = silentLog() }: RunParts): Promise<void> {
  const giveTimeBack = stopTime()
  const chance = Math.random
  Math.random = seeded(schedule.seed + 1)
  const world = createWorld({ schedule, root, template, broken, logger })
  const { ledger } = world
  const check = (): void => {
    const [first] = ledger.violations
    if (first !== undefined) throw new Error(first)
  }
  try {
    if (!(await comes(() => world.owners().length > 0, BEGIN_MS))) throw new Error('nobody has begun to own the work')
    for (const step of schedule.steps) {
      await world.step(step)
      check()
    }
    world.recover()
    checkJournal(world.log.messages())
    await oneServes(world)
    await allAreLevel(world)
    const [owner] = world.owners()
    for (const task of ledger.tasks()) void world.look(task, owner)
    await pass(QUIET_MS)
    check()
    await allAreLevel(world)
    const records = checkJournal(world.log.messages())
    checkFiles(world, records, template)
    await allStop(world)
  } finally {
    for (const member of world.members()) if (!member.isDead()) member.die(null)
    await pass(STOP_MS)
    Math.random = chance
    giveTimeBack()
    world.remove()
  }
}

/** I3: numbers are gapless, epochs never fall, and each record is of the epoch of the fence before it. */
function checkJournal(messages: readonly JournalMessage[]): StoredRecord[] {
  const assemble = createAssembler()
  const records = messages.flatMap(assemble)
  let epoch = 0
  records.forEach((record, i) => {
    if (record.n !== i + 1) throw new Error(`I3: record ${record.n} is the ${i + 1}th of the journal`)
    if (record.kind === 'fence' && record.epoch <= epoch)
      throw new Error(`I3: the fence of epoch ${record.epoch} follows epoch ${epoch}`)
    if (record.kind === 'turn' && record.epoch !== epoch)
      throw new Error(`I3: record ${record.n} is of epoch ${record.epoch} within epoch ${epoch}`)
    ;({ epoch } = record)
  })
  return records
}

async function oneServes(world: World): Promise<void> {
  let served = false
  const serves = (): boolean => {
    const [owner, ...more] = world.owners()
    if (owner !== undefined && more.length === 0)
      void owner
        .call({ op: 'stats' })
        .then((outcome) => (served ||= outcome?.ok === true && world.owners().length === 1))
    return served
  }
  if (await comes(serves, RECOVERY_MS)) return
  const roles = world
    .members()
    .map(
      (m) =>
        `${m.name}: ${m.role()}${m.isOwner() ? ', answers' : ''}${m.failure() === null ? '' : `, ${String(m.failure())}`}`,
    )
  throw new Error(`liveness: ${RECOVERY_MS / 1000} s after the last fault nobody serves (${roles.join('; ')})`)
}

const levels = (world: World): string[] => world.members().map((m) => (m.role() === 'joining' ? m.role() : m.newest()))

async function allAreLevel(world: World): Promise<void> {
  const isLevel = (): boolean => {
    const wanted = endOf(world.log.messages())
    return levels(world).every((at) => at === wanted)
  }
  if (await comes(isLevel, RECOVERY_MS)) return
  throw new Error(
    `liveness: the log ends with record ${endOf(world.log.messages())}, and the files of the coordinators with ${levels(world).join(', ')}`,
  )
}
const endOf = (messages: readonly JournalMessage[]): string => {
  const assemble = createAssembler()
  return messages.reduce((end, message) => {
    const record = assemble(message).at(-1)
    return record === undefined ? end : place(record.n, record.epoch)
  }, '')
}

/** I4: the files of owner and followers have the same rows, and so has one that is made from the journal alone. */
function checkFiles(world: World, records: readonly StoredRecord[], template: string): void {
  const made = new Database(new Database(template, { readonly: true }).serialize())
  const replica = replicaOf(made, () => made.close())
  replica.begin({ journal_id: 'made', role: 'follower', owner_url: '', stored_n: 0, stored_seq: 0 })
  applyRecords(replica, records, () => undefined)
  const wanted = contentOf(made)
  replica.close()
  for (const member of world.members()) {
    const db = new Database(member.file, { readonly: true })
    const content = contentOf(db)
    db.close()
    for (const [table, rows] of Object.entries(content))
      deepStrictEqual({ table, rows, of: member.name }, { table, rows: wanted[table], of: member.name })
  }
}

async function allStop(world: World): Promise<void> {
  let stopped = 0
  for (const member of world.members()) void member.stop().then(() => stopped++)
  if (!(await comes(() => stopped === world.members().length, STOP_MS)))
    throw new Error(`liveness: after ${STOP_MS / 1000} s not all have stopped`)
}

/** An empty database to begin with, with all tables. */
export function makeTemplate(file: string): string {
  const { db, close } = openDatabase(file)
  db.pragma('journal_mode = DELETE')
  close()
  return file
}
