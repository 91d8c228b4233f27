import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cli, configFile } from '../support/child.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { Database } from '../../src/store/sqlite.js'

async function check(...args: string[]) {
  const child = cli(['check', ...args])
  const { code } = await child.exit
  return { code, out: child.out, err: child.err }
}

/** A database with a task of most kinds, no longer served. */
async function servedFile(): Promise<string> {
  const service = await startService()
  await service.register('node-1')
  for (const task_id of ['done', 'running', 'waiting']) await service.submit({ task_id })
  await service.poll('node-1')
  await service.post('/api/v1/tasks/complete', {
    inference_node_id: 'node-1',
    task_id: 'done',
    output: 'Paris',
    confidence: 1,
  })
  await service.poll('node-1')
  await service.stop()
  return service.file
}

function change(file: string, sql: string): void {
  const db = new Database(file)
  db.pragma('ignore_check_constraints = 1')
  db.exec(sql)
  db.close()
}

test('a sound database is found sound, line by line or as JSON, and is left as it is', async () => {
  const file = await servedFile()
  const before = readFileSync(file)
  const { code, out, err } = await check('--database', file)
  expect({ code, err }).toEqual({ code: 0, err: [] })
  expect(out.length).toBeGreaterThan(8)
  for (const line of out) expect(line).toMatch(/^ok {2}\S/)
  const config = configFile(`database_path = "${file}"`)
  const json = await check('--config', config, '--json')
  expect(json.code).toBe(0)
  expect(JSON.parse(json.out.join('\n'))).toMatchObject({
    database: file,
    ok: true,
    findings: expect.arrayContaining([{ rule: 'the file is intact', ok: true, offenders: [] }]),
  })
  expect(readFileSync(file).equals(before)).toBe(true)
})

test('a database that is being served can be checked', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  expect(await check('--database', service.file)).toMatchObject({ code: 0 })
  await service.submit({ task_id: 'b' })
})

test.each([
  [
    'a counter that is wrong',
    "UPDATE task_counts SET tasks = 7 WHERE status = 'pending'",
    'pending is counted 7 and there are 1',
  ],
  [
    'a counter that is missing',
    "DELETE FROM task_counts WHERE status = 'completed'",
    'completed is counted 0 and there are 1',
  ],
  [
    'a running task without an attempt',
    "UPDATE inference_tasks SET open_lease_ms = NULL WHERE task_id = 'running'",
    'task running is in_progress and has 0 open attempts',
  ],
  [
    'a waiting task with an open attempt',
    "UPDATE inference_tasks SET status = 'pending' WHERE task_id = 'running'",
    'task running is pending and has 1 open attempts',
  ],
  [
    'two completed attempts',
    "INSERT INTO ended_attempts (task_id, attempt, node_id, polled, handouts, assigned_ms, lease_ms, ended_ms, \"end\") VALUES ('done', 2, 'node-1', 0, 0, 0, 0, 0, 'completed')",
    'task done has 2 completed attempts',
  ],
  [
    'a completed task without its output',
    "UPDATE inference_tasks SET output = NULL WHERE task_id = 'done'",
    'task done is completed and has no output',
  ],
  [
    'an attempt that was left out',
    "UPDATE ended_attempts SET attempt = 3 WHERE task_id = 'done'",
    'task done is at attempt 1 and has 1 from 3 to 3',
  ],
  [
    'a status that does not exist',
    "UPDATE inference_tasks SET status = 'lost' WHERE task_id = 'waiting'",
    'task waiting is lost',
  ],
  [
    'a part of an open attempt',
    "UPDATE inference_tasks SET open_assigned_at = NULL WHERE task_id = 'running'",
    'task running has a part of an open attempt',
  ],
  [
    'a rest of an open attempt',
    "UPDATE inference_tasks SET open_polled = 0 WHERE task_id = 'waiting'",
    'task waiting has a part of an open attempt',
  ],
  [
    'an open attempt that has a row',
    "UPDATE ended_attempts SET task_id = 'running' WHERE task_id = 'done'",
    'attempt 1 of task running has a row and is open',
  ],
  [
    'a row without an end',
    "UPDATE ended_attempts SET ended_ms = NULL, end = NULL WHERE task_id = 'done'",
    'attempt 1 of task done has a row and no end',
  ],
  ['an open attempt of an unknown node', 'DELETE FROM inference_nodes', 'is with node-1: there is no such node'],
  [
    'an attempt of no task',
    "UPDATE ended_attempts SET task_id = 'nothing' WHERE task_id = 'done'",
    'attempt 1 of task nothing: there is no such task',
  ],
])('%s is found and named', async (_, sql, says) => {
  const file = await servedFile()
  change(file, sql)
  const { code, out, err } = await check('--database', file)
  expect({ code, err }).toEqual({ code: 1, err: [] })
  expect(out.filter((line) => line.startsWith('WRONG')).join('\n')).toContain(says)
})

test('damaged pages are found', async () => {
  const file = await servedFile()
  const bytes = readFileSync(file)
  bytes.fill(0x5a, 3 * 4096, 8 * 4096)
  writeFileSync(file, bytes)
  const { code, out, err } = await check('--database', file)
  expect(code).toBe(1)
  expect([...out, ...err].join('\n')).toMatch(/WRONG {2}the file is intact|damaged/)
})

test('what is no database of the service is refused with one line', async () => {
  const dir = tempDir()
  const prose = join(dir, 'prose.db')
  writeFileSync(prose, 'this is no database, it is a letter to a friend. '.repeat(50))
  const other = join(dir, 'other.db')
  new Database(other).exec('CREATE TABLE t (x)').close()
  for (const [args, code, says] of [
    [['--database', prose], 1, 'not an SQLite database'],
    [['--database', other], 1, 'not a database of this service'],
    [['--database', join(dir, 'nowhere.db')], 1, 'nowhere.db'],
    [[], 2, '--database'],
    [['--databse', 'x'], 2, '--databse'],
  ] as const) {
    const result = await check(...args)
    expect(result).toMatchObject({ code, out: [] })
    expect(result.err).toHaveLength(1)
    expect(result.err[0]).toContain(says)
  }
})
