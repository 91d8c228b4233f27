import { expect, test } from 'vitest'
import { checkDatabase } from '../../src/store/maintenance/check.js'
import { Database } from '../../src/store/sqlite.js'
import { startCalling, startReceiver, status, callbackIs } from '../support/callback-receiver.js'

/** A file with a callback that waits, one that is to be sent again, and one that is dead. */
async function fileWithCallbacks(): Promise<string> {
  const service = await startCalling()
  const [failing, gone] = [await startReceiver(status(500)), await startReceiver(status(410))]
  await service.submit({ task_id: 'waits', callback_url: gone.hook })
  for (const [task_id, { hook }] of [
    ['fails', failing],
    ['gone', gone],
  ] as const) {
    await service.submit({ task_id, callback_url: hook })
    await service.post(`/api/v1/tasks/${task_id}/cancel`, {})
  }
  await callbackIs(service, 'gone', 'dead')
  await failing.nth(1)
  await service.stop()
  return service.file
}
const findings = (file: string): string[] => checkDatabase(file).flatMap((f) => (f.ok ? [] : [f.rule, ...f.offenders]))

test('check finds what is wrong with callbacks, and says which', async () => {
  const file = await fileWithCallbacks()
  expect(findings(file)).toEqual([])
  const damaged = (sql: string, undo: string): string[] => {
    const db = new Database(file)
    db.exec(sql)
    const found = findings(file)
    db.exec(undo)
    db.close()
    return found
  }
  const stored = new Database(file)
  const { due_ms } = stored
    .prepare<[], { due_ms: number }>("SELECT due_ms FROM callbacks WHERE task_id = 'fails'")
    .get() ?? { due_ms: 0 }
  stored.close()
  const where = "WHERE task_id = 'fails'"

  expect(
    damaged(
      "UPDATE callbacks SET task_id = 'nobody' WHERE task_id = 'gone'",
      "UPDATE callbacks SET task_id = 'gone' WHERE task_id = 'nobody'",
    ),
  ).toEqual(['every callback belongs to a task', 'callback of task nobody: there is no such task'])
  expect(
    damaged(`UPDATE callbacks SET state = 'waiting' ${where}`, `UPDATE callbacks SET state = 'pending' ${where}`),
  ).toEqual([
    'a callback waits for the end of its task, and no longer',
    'callback of task fails is waiting and its task is failed',
    'a callback that is to be sent has a time for it, any other none',
    `callback of task fails is waiting and due at ${due_ms}`,
    'the counters of callbacks equal a recount',
    expect.stringContaining('is counted'),
    expect.stringContaining('is counted'),
  ])
  expect(
    damaged(`UPDATE callbacks SET due_ms = NULL ${where}`, `UPDATE callbacks SET due_ms = ${due_ms} ${where}`),
  ).toEqual([
    'a callback that is to be sent has a time for it, any other none',
    'callback of task fails is pending and due at no time',
    'every host is due with its first callback',
    `host 127.0.0.1 is due at ${due_ms}, its first callback at no time`,
  ])
  expect(damaged('DELETE FROM callback_hosts', `INSERT INTO callback_hosts VALUES ('127.0.0.1', ${due_ms})`)).toEqual([
    'every host is due with its first callback',
    'callback of task fails is due, and its host 127.0.0.1 is not',
  ])
  expect(findings(file)).toEqual([])
})
