import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { checkDatabase } from '../../src/store/maintenance/check.js'
import { openDatabase } from '../../src/store/open.js'
import { configFile, serviceChild } from '../support/child.js'
import { inspect } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'
import { Database } from '../../src/store/sqlite.js'

const ids = (file: string): string[] =>
  inspect(file, (db) =>
    db
      .prepare<[], { task_id: string }>('SELECT task_id FROM inference_tasks ORDER BY rowid')
      .all()
      .map((r) => r.task_id),
  )
const sound = (file: string) => expect(checkDatabase(file).filter((f) => !f.ok)).toEqual([])

test('a running service makes backups by itself and keeps the newest', async () => {
  const dir = join(tempDir(), 'backups')
  mkdirSync(dir)
  writeFileSync(join(dir, 'inference-notes.db'), 'not ours')
  const leftover = join(dir, 'inference-2020-01-01T00-00-00.000Z.db.partial')
  writeFileSync(leftover, 'of a process that was killed')
  const file = join(tempDir(), 'inference.db')
  const config = configFile(`database_path = "${file}"\nbackup_dir = "${dir}"\nbackup_interval = 1\nbackup_keep = 2`)
  const service = await serviceChild(config)
  await service.submit({ task_id: 'a' })
  const made = () =>
    service.out.flatMap((line) =>
      line.includes('backup.made')
        ? [JSON.parse(line) as { file: string; bytes: number; seconds: number; removed: number }]
        : [],
    )
  await until(() => made().length >= 4, 'four backups')
  expect(made().at(-1)).toMatchObject({ bytes: expect.any(Number), seconds: expect.any(Number), removed: 1 })
  service.process.kill('SIGTERM')
  expect(await service.exit).toEqual({ code: 0, signal: null })
  const kept = readdirSync(dir).sort()
  expect(kept).toHaveLength(3)
  expect(kept).toContain('inference-notes.db')
  expect(existsSync(leftover)).toBe(false)
  expect(service.out.filter((line) => line.includes('backup.failed'))).toEqual([])
  const newest = made().at(-1)?.file ?? ''
  expect(kept).toContain(basename(newest))
  expect(ids(newest)).toEqual(['a'])
  expect(statSync(newest).size).toBe(made().at(-1)?.bytes)
  sound(newest)
})

test('while the service writes all the time, its own backup is finished and sound', async () => {
  const dir = tempDir()
  const service = await serviceChild(configFile(`backup_dir = "${dir}"\nbackup_interval = 2`))
  let stop = false
  let stored = 0
  const writing = Array.from({ length: 4 }, async () => {
    for (; !stop; stored++) await service.submit({ user_input: 'x'.repeat(20_000) })
  })
  await until(() => service.out.filter((line) => line.includes('backup.made')).length >= 2, 'two backups')
  stop = true
  await Promise.all(writing)
  const names = readdirSync(dir)
    .filter((name) => name.endsWith('.db'))
    .sort()
  expect(names.length).toBeGreaterThanOrEqual(2)
  for (const name of names) sound(join(dir, name))
  expect(ids(join(dir, names[1] ?? '')).length).toBeGreaterThan(0)
  expect(stored).toBeGreaterThan(0)
})

test('a backup that fails is a warning in the log and harms nothing', async () => {
  const dir = join(tempDir(), 'a-file')
  writeFileSync(dir, '')
  const service = await serviceChild(configFile(`backup_dir = "${dir}"`))
  const line = await until(() => service.out.find((l) => l.includes('backup.failed')), 'the warning')
  expect(JSON.parse(line)).toMatchObject({ level: 40, dir, error: expect.any(String) })
  await service.submit({})
  expect((await service.get('/health')).status).toBe(200)
  service.process.kill('SIGTERM')
  expect(await service.exit).toEqual({ code: 0, signal: null })
})

test('after a start the next backup waits until the newest one is old enough', async () => {
  const dir = tempDir()
  const file = join(tempDir(), 'inference.db')
  const config = configFile(`database_path = "${file}"\nbackup_dir = "${dir}"`)
  for (let i = 0; i < 2; i++) {
    const service = await serviceChild(config)
    await until(() => readdirSync(dir).filter((name) => name.endsWith('Z.db')).length === 1, 'a backup')
    await service.submit({})
    service.process.kill('SIGTERM')
    expect(await service.exit).toMatchObject({ code: 0 })
  }
  expect(readdirSync(dir)).toHaveLength(1)
})

test('a stop abandons a backup that is being made, and leaves nothing of it behind', async () => {
  const dir = tempDir()
  const file = join(tempDir(), 'inference.db')
  openDatabase(file).close()
  const large = new Database(file)
  large.exec('CREATE TABLE ballast (x)')
  large.prepare('INSERT INTO ballast VALUES (zeroblob(?))').run(200_000_000)
  large.close()
  const service = await serviceChild(configFile(`database_path = "${file}"\nbackup_dir = "${dir}"`))
  await until(() => readdirSync(dir).some((name) => name.endsWith('.partial')), 'the copy being written')
  service.process.kill('SIGTERM')
  expect(await service.exit).toEqual({ code: 0, signal: null })
  expect(readdirSync(dir).filter((name) => !name.endsWith('Z.db'))).toEqual([])
  expect(service.out.filter((line) => line.includes('backup.failed'))).toEqual([])
})
