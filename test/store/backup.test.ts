import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { checkDatabase } from '../../src/store/maintenance/check.js'
import { openDatabase } from '../../src/store/open.js'
import { cli, configFile, serviceChild } from '../support/child.js'
import { inspect, startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { Database } from '../../src/store/sqlite.js'

async function run(...args: string[]) {
  const child = cli(args)
  const { code } = await child.exit
  return { code, out: child.out, err: child.err }
}
const ids = (file: string): string[] =>
  inspect(file, (db) =>
    db
      .prepare<[], { task_id: string }>('SELECT task_id FROM inference_tasks ORDER BY rowid')
      .all()
      .map((r) => r.task_id),
  )
const sound = (file: string) => expect(checkDatabase(file).filter((f) => !f.ok)).toEqual([])
/** What lies in the folder of a file and has its name. */
const beside = (file: string): string[] => readdirSync(dirname(file)).filter((name) => name.startsWith(basename(file)))

async function refused(args: string[], code: number, ...parts: string[]): Promise<void> {
  const result = await run(...args)
  expect(result).toMatchObject({ code, out: [] })
  expect(result.err).toHaveLength(1)
  for (const part of parts) expect(result.err[0]).toContain(part)
}

test('a backup is made while the service runs and writes, and holds everything that was acknowledged before', async () => {
  const service = await startService()
  for (let i = 0; i < 20; i++) await service.submit({ task_id: `before-${i}`, user_input: 'x'.repeat(20_000) })
  let stop = false
  const writing = (async () => {
    for (let i = 0; !stop; i++) await service.submit({ task_id: `during-${i}` })
  })()
  const file = join(tempDir(), 'copy.db')
  const made = await run('backup', file, '--config', configFile(), '--database', service.file)
  stop = true
  await writing
  expect(made).toMatchObject({ code: 0, err: [] })
  expect(made.out.join('\n')).toContain(file)
  expect(ids(file).slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, i) => `before-${i}`))
  sound(file)
  expect(beside(file)).toEqual(['copy.db'])
  expect((await service.get('/health')).status).toBe(200)
})

test('a backup overwrites nothing unless it is told to, and never the database', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  const config = configFile(`database_path = "${service.file}"`)
  const file = join(tempDir(), 'letter.txt')
  writeFileSync(file, 'a letter')
  await refused(['backup', file, '--config', config], 1, file, '--force')
  expect(readFileSync(file, 'utf8')).toBe('a letter')
  expect(await run('backup', file, '--config', config, '--force')).toMatchObject({ code: 0 })
  const told = await run('backup', file, '--config', config, '--force', '--json')
  expect(JSON.parse(told.out.join('\n'))).toMatchObject({ file, database: service.file, bytes: expect.any(Number) })
  expect(ids(file)).toEqual(['a'])
  for (const end of ['', '-wal', '.lock'])
    await refused(['backup', service.file + end, '--config', config, '--force'], 1, 'the database itself')
  expect(beside(file)).toEqual(['letter.txt'])
})

test('a backup that cannot be made is one line, and leaves nothing behind', async () => {
  const dir = tempDir()
  const config = configFile()
  await refused(
    ['backup', join(dir, 'x.db'), '--config', config, '--database', join(dir, 'none.db')],
    1,
    'none.db',
    'no such database',
  )
  const prose = join(dir, 'prose.db')
  writeFileSync(prose, 'this is no database, it is a letter to a friend. '.repeat(50))
  await refused(
    ['backup', join(dir, 'x.db'), '--config', config, '--database', prose],
    1,
    prose,
    'not an SQLite database',
  )
  const file = join(dir, 'inference.db')
  openDatabase(file).close()
  await refused(['backup', join(dir, 'nowhere', 'x.db'), '--config', config, '--database', file], 1, 'no such folder')
  const db = new Database(file)
  db.exec("INSERT INTO task_counts VALUES ('pending', 3)")
  db.close()
  await refused(
    ['backup', join(dir, 'x.db'), '--config', config, '--database', file],
    1,
    'not sound',
    'pending is counted 3',
  )
  expect(readdirSync(dir).filter((name) => name.startsWith('x.db'))).toEqual([])
})

test('a backup is restored into the place of the database, and the old one is kept with its log', async () => {
  const first = await startService()
  await first.submit({ task_id: 'a' })
  const { file } = first
  const config = configFile(`database_path = "${file}"`)
  const backup = join(tempDir(), 'backup.db')
  expect(await run('backup', backup, '--config', config)).toMatchObject({ code: 0 })
  await first.submit({ task_id: 'b' })
  await first.stop()

  // A service that is killed leaves a log that its database needs.
  const killed = await serviceChild(config)
  await killed.submit({ task_id: 'c' })
  await refused(['restore', backup, '--config', config], 1, file, 'another coordinator is running')
  killed.process.kill('SIGKILL')
  await killed.exit
  expect(statSync(`${file}-wal`).size).toBeGreaterThan(0)

  const restored = await run('restore', backup, '--config', config)
  expect(restored).toMatchObject({ code: 0, err: [] })
  const kept = beside(file).find((name) => /^inference\.db\.replaced-\d{4}-\d\d-\d\dT[\d.-]+Z$/.test(name)) ?? ''
  expect(restored.out.join('\n')).toContain(kept)
  expect(existsSync(`${file}-wal`)).toBe(false)
  expect(ids(file)).toEqual(['a'])
  expect(ids(join(dirname(file), kept))).toEqual(['a', 'b', 'c'])
  expect(ids(backup)).toEqual(['a'])

  const again = await startService({ database_path: file })
  expect(await again.status('a')).toMatchObject({ status: 'pending' })
  expect((await again.get('/api/v1/tasks/b/status')).status).toBe(404)
  await again.submit({ task_id: 'd' })
})

test('a backup is restored where there is no database', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  const backup = join(tempDir(), 'backup.db')
  expect(await run('backup', backup, '--config', configFile(), '--database', service.file)).toMatchObject({ code: 0 })
  const file = join(tempDir(), 'new.db')
  const restored = await run('restore', backup, '--config', configFile(), '--database', file, '--json')
  expect(restored).toMatchObject({ code: 0, err: [] })
  expect(JSON.parse(restored.out.join('\n'))).toMatchObject({ database: file, file: backup, tasks: 1, kept: null })
  expect(ids(file)).toEqual(['a'])
})

test('what is not a sound backup is not restored, and the database stays as it is', async () => {
  const dir = tempDir()
  const file = join(dir, 'inference.db')
  openDatabase(file).close()
  const before = readFileSync(file)
  const args = (backup: string) => ['restore', backup, '--config', configFile(), '--database', file]
  await refused(args(join(dir, 'none.db')), 1, 'none.db', 'no such backup')
  await refused(args(file), 1, 'the database itself')
  const prose = join(dir, 'prose.db')
  writeFileSync(prose, 'this is no database, it is a letter to a friend. '.repeat(50))
  await refused(args(prose), 1, prose, 'not an SQLite database')
  const wrong = join(dir, 'wrong.db')
  openDatabase(wrong).close()
  const db = new Database(wrong)
  onTestFinished(() => void db.close())
  db.exec("INSERT INTO task_counts VALUES ('pending', 3)")
  db.close()
  await refused(args(wrong), 1, wrong, 'not sound', 'pending is counted 3')
  expect(readFileSync(file).equals(before)).toBe(true)
  expect(beside(file).filter((name) => /replaced|restoring/.test(name))).toEqual([])
})
