import { closeSync, openSync, readdirSync, readFileSync, statSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { startClustered, type ClusteredOptions } from '../support/cluster.js'
import { contentOf } from '../support/journal-copy.js'
import { createMemoryLog } from '../support/memory-log.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'
import { Database } from '../../src/store/sqlite.js'

const TASKS = 40
/** So long that a prompt has pages of its own in the file. */
const PROMPT = 'q'.repeat(20_000)

/** Overwrites the middle half of a database, as a bad disk does. */
function damage(file: string): Buffer {
  const { size } = statSync(file)
  const garbage = Buffer.alloc(Math.floor(size / 2), 0xa5)
  const fd = openSync(file, 'r+')
  writeSync(fd, garbage, 0, garbage.length, Math.floor(size / 4))
  closeSync(fd)
  return readFileSync(file)
}
const damagedBeside = (file: string): string[] =>
  readdirSync(dirname(file))
    .filter((name) => name.startsWith(`${basename(file)}.damaged-`) && name.endsWith('Z'))
    .map((name) => join(dirname(file), name))
const content = (file: string) => {
  const db = new Database(file, { readonly: true })
  try {
    return contentOf(db)
  } finally {
    db.close()
  }
}

/** An owner with tasks, and a coordinator that follows it, with files that are known. */
async function pair(options: Pick<ClusteredOptions, 'takeoverAfter'> = {}) {
  const log = createMemoryLog()
  const [one, two] = [join(tempDir(), 'c1.db'), join(tempDir(), 'c2.db')]
  const c1 = await startClustered(log, 'c1', { ...options, file: one })
  await c1.becomes('owner')
  const c2 = await startClustered(log, 'c2', { ...options, file: two })
  await c2.becomes('follower')
  for (let i = 0; i < TASKS; i++) await c1.submit({ task_id: `t${i}`, user_input: PROMPT })
  const level = (): Promise<unknown> =>
    until(async () => {
      const [first] = (await c1.health()).body['data'].cluster.followers
      return first?.behind_records === 0 && first.record > TASKS
    }, 'c2 being level')
  await level()
  return { log, c1, c2, one, two, level }
}

test('a follower whose file was damaged while it was stopped sets it aside, copies the owner and follows again', async () => {
  const { c1, c2, one, two, level } = await pair()
  await c2.stop()
  const was = damage(two)
  await c2.startAgain()
  await c2.becomes('follower')
  await c1.submit({ task_id: 'later' })
  await level()
  const aside = damagedBeside(two)
  expect(aside.map((file) => readFileSync(file).equals(was))).toEqual([true])
  await Promise.all([c2.stop(), c1.stop()])
  expect(content(two)['inference_tasks']).toEqual(content(one)['inference_tasks'])
}, 60_000)

test('an owner that finds its file damaged gives the work up to a follower, and follows it with a copy', async () => {
  const { c1, c2, one } = await pair({ takeoverAfter: 3 })
  // Started again it has read nothing of the tasks' texts.
  await c1.stop()
  await c2.becomes('owner')
  await c1.startAgain()
  await c1.becomes('follower')
  await until(async () => (await c2.health()).body['data'].cluster.followers.length === 1, 'c1 being known')
  await c2.stop()
  await c1.becomes('owner')
  await c2.startAgain()
  await c2.becomes('follower')
  damage(one)
  // It stops to answer when it has met the damage.
  for (let i = 0; i < TASKS; i++) await c1.get(`/api/v1/tasks/t${i}`).catch(() => null)
  await c2.becomes('owner')
  await c1.becomes('follower')
  expect(damagedBeside(one)).toHaveLength(1)
  for (let i = 0; i < TASKS; i++) expect((await c2.get(`/api/v1/tasks/t${i}`)).status).toBe(200)
}, 60_000)

test('a damaged file that a new journal would begin with is left as it is, and the coordinator ends with what to do', async () => {
  const { c1, one } = await pair()
  await c1.stop()
  const was = damage(one)
  const log = createMemoryLog()
  const alone = await startClustered(log, 'c3', { file: one })
  await expect(alone.ended()).rejects.toThrow(/is damaged .* nobody else has its tasks: restore a backup/)
  expect(readFileSync(one).equals(was)).toBe(true)
}, 60_000)

test('a third damaged file is not set aside: its coordinator ends, for its disk is not to be trusted', async () => {
  const { c2, two } = await pair()
  for (let i = 1; i <= 2; i++) {
    await c2.stop()
    damage(two)
    await c2.startAgain()
    await c2.becomes('follower')
    expect(damagedBeside(two)).toHaveLength(i)
  }
  await c2.stop()
  damage(two)
  await c2.startAgain()
  await expect(c2.ended()).rejects.toThrow(/damaged again .*: replace the disk/)
  expect(damagedBeside(two)).toHaveLength(2)
}, 60_000)
