import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { backUp } from '../../src/store/maintenance/backup.js'
import { Database } from '../../src/store/sqlite.js'
import { keyFile, setKeys, wordsIn } from '../support/data-keys.js'
import { connectNode } from '../support/node-session.js'
import { inspect, startService, task, type Service } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

const words = {
  user_input: 'the-prompt-of-somebody',
  context: 'the-context-of-it',
  error: 'words-of-a-node-that-fails',
  output: 'an-answer-to-it',
}
const all = Object.values(words)
const { user_input, context } = words

/** A task that one node fails and another completes, and one that is failed for good. */
async function work(service: Service): Promise<{ completed: string; failed: string }> {
  const completed = await service.submit({ task_id: 'completed', user_input, context })
  const first = await connectNode(service, 'node-1', { supported_models: ['llama'] })
  await first.next('task.assign')
  first.say({ type: 'task.fail', task_id: completed, attempt: 1, error: words.error, retryable: true })
  await first.next('task.settled')
  first.socket.close()
  const second = await connectNode(service, 'node-2', { supported_models: ['llama'] })
  expect(await second.next('task.assign')).toMatchObject({ attempt: 2, user_input, context })
  second.say({ type: 'task.accept', task_id: completed, attempt: 2 })
  second.say({ type: 'task.complete', task_id: completed, attempt: 2, output: words.output, confidence: 0.5 })
  await second.next('task.settled')
  const failed = await service.submit({ task_id: 'failed', user_input, context })
  await second.next('task.assign')
  second.say({ type: 'task.fail', task_id: failed, attempt: 1, error: words.error, retryable: false })
  await second.next('task.settled')
  second.socket.close()
  return { completed, failed }
}

/** What is answered of both tasks, with every text. */
async function expectTexts(service: Service): Promise<void> {
  expect(await service.status('completed')).toMatchObject({
    user_input,
    context,
    error: null,
    result: { output: words.output },
  })
  const detail = await service.get('/api/v1/tasks/completed')
  expect(detail.body?.data.attempts).toMatchObject([{ error: words.error }, { error: null }])
  expect(await service.status('failed')).toMatchObject({ user_input, context, error: words.error, result: null })
  const list = await service.get('/api/v1/tasks?status=failed')
  expect(list.body?.data.tasks).toMatchObject([{ task_id: 'failed', error: words.error }])
}

/** Changes a file under nobody's eyes. */
const change = (file: string, statement: string): void => {
  const db = new Database(file)
  db.exec(statement)
  db.close()
}
const kidsOf = (file: string): string[] =>
  inspect(file, (db) =>
    db.prepare<[], { kid: string }>('SELECT DISTINCT substr(user_input, 6, 8) AS kid FROM inference_tasks').all(),
  ).map(({ kid }) => kid)
const keysNeeded = (file: string): string[] =>
  inspect(file, (db) => db.prepare<[], { kid: string }>('SELECT kid FROM data_keys ORDER BY kid').all()).map(
    ({ kid }) => kid,
  )
/** Waits until everything is sealed under one key. */
const resealed = (service: Service): Promise<unknown> =>
  until(() => {
    const done = inspect(service.file, (db) =>
      db
        .prepare<[], { n: number }>('SELECT count(*) AS n FROM data_keys WHERE sealing = 0 OR walked_seq < last_seq')
        .get(),
    )
    return done?.n === 0 && keysNeeded(service.file).length === 1 ? true : null
  }, 'all texts under one key')

test('with a data key no text is in the file, its log or a backup, and all are answered', async () => {
  const service = await startService({ data_key_file: keyFile('11') })
  await work(service)
  expect(wordsIn(service.file, all)).toEqual([])
  await expectTexts(service)
  const backup = join(tempDir(), 'backup.db')
  await backUp(service.file, backup, { replace: false, maxWalBytes: 1e9 })
  expect(wordsIn(backup, all)).toEqual([])
  await service.stop()
  expect(wordsIn(service.file, all)).toEqual([])
  const again = await startService({ data_key_file: keyFile('11'), database_path: backup })
  await expectTexts(again)
})

test('without a data key texts are in the file as they are', async () => {
  const service = await startService()
  await work(service)
  await expectTexts(service)
  expect(wordsIn(service.file, all)).toEqual(all)
  expect(keysNeeded(service.file)).toEqual([])
})

test('words that look like a sealed text come back as they were, with a key and without', async () => {
  for (const settings of [{}, { data_key_file: keyFile('11') }]) {
    const service = await startService(settings)
    const odd = 'enc1.0123abcd.YWJj'
    const id = await service.submit({ user_input: odd, context: 'enc0.x' })
    expect(await service.status(id)).toMatchObject({ user_input: odd, context: 'enc0.x' })
    await service.register('node')
    expect(await service.poll('node')).toMatchObject({ user_input: odd, context: 'enc0.x' })
  }
})

test('the same submission again is known by its digest, and one with other texts is a conflict', async () => {
  const data_key_file = keyFile('11')
  const service = await startService({ data_key_file })
  const same = task({ task_id: 't', user_input, context })
  const answers = async (by: Service) => [
    (await by.post('/api/v1/tasks/submit', same)).status,
    (await by.post('/api/v1/tasks/submit', { ...same, user_input: 'other' })).status,
    (await by.post('/api/v1/tasks/submit', { ...same, user_input: user_input + context, context: '' })).status,
  ]
  expect(await answers(service)).toEqual([200, 409, 409])
  await service.stop()
  // A resubmission opens nothing: it is known although the texts cannot be read any more.
  change(service.file, "UPDATE inference_tasks SET user_input = 'enc1.' || substr(user_input, 6, 9) || 'AAAA'")
  const again = await startService({ data_key_file, database_path: service.file })
  expect(await answers(again)).toEqual([200, 409, 409])
})

test('texts from before the first key, or of an older one, get the key of now, and then the others are needed no more', async () => {
  const first = await startService()
  await work(first)
  await first.submit({ task_id: 'waits', user_input, context, model_name: 'gemma' })
  await first.stop()
  expect(wordsIn(first.file, all)).toEqual(all)

  const data_key_file = keyFile('11')
  const second = await startService({ data_key_file, database_path: first.file })
  await resealed(second)
  await expectTexts(second)
  await second.stop()
  expect(wordsIn(first.file, all)).toEqual([])
  const [old] = kidsOf(first.file)

  setKeys(data_key_file, '22', '11')
  const third = await startService({ data_key_file, database_path: first.file })
  await expectTexts(third)
  await resealed(third)
  expect(kidsOf(first.file)).toHaveLength(1)
  expect(kidsOf(first.file)).not.toEqual([old])
  await third.stop()

  setKeys(data_key_file, '22')
  const last = await startService({ data_key_file, database_path: first.file })
  await expectTexts(last)
  expect(await last.status('waits')).toMatchObject({ user_input, context })
  const same = task({ task_id: 'waits', user_input, context, model_name: 'gemma' })
  expect((await last.post('/api/v1/tasks/submit', same)).status).toBe(200)
})

test('a key that is missing is told at the start, by its id, and nothing is changed', async () => {
  const data_key_file = keyFile('11')
  const service = await startService({ data_key_file })
  await service.submit({ user_input })
  const [kid] = kidsOf(service.file)
  await service.stop()
  const rows = () =>
    inspect(service.file, (db) => [db.prepare('SELECT * FROM inference_tasks').all(), keysNeeded(service.file)])
  const before = rows()
  const refused = `texts in it are encrypted under the data key ${kid}, and`
  await expect(startService({ database_path: service.file })).rejects.toThrow(refused)
  await expect(startService({ database_path: service.file, data_key_file: keyFile('22') })).rejects.toThrow(refused)
  expect(rows()).toEqual(before)
})

test('a text in the wrong place is noticed: its task cannot be read, and everything else goes on', async () => {
  const data_key_file = keyFile('11')
  const service = await startService({ data_key_file })
  await work(service)
  await service.submit({ task_id: 'good', user_input, model_name: 'gemma' })
  await service.submit({ task_id: 'bad', user_input: 'another', model_name: 'gemma' })
  await service.stop()
  const other = "(SELECT user_input FROM inference_tasks WHERE task_id = 'good')"
  change(service.file, `UPDATE inference_tasks SET user_input = ${other} WHERE task_id IN ('bad', 'completed')`)
  change(service.file, `UPDATE inference_tasks SET error = output WHERE task_id = 'failed'`)
  change(service.file, `UPDATE inference_tasks SET error = ${other} WHERE task_id = 'failed'`)

  const again = await startService({ data_key_file, database_path: service.file })
  onTestFinished(() => again.stop())
  for (const id of ['bad', 'completed', 'failed'])
    expect((await again.get(`/api/v1/tasks/${id}/status`)).body).toMatchObject({ success: false, code: 'internal' })
  const list = await again.get('/api/v1/tasks?status=failed')
  expect(list.body?.data.tasks).toMatchObject([
    { task_id: 'failed', error: expect.stringContaining('cannot be decrypted') },
  ])
  const node = await connectNode(again, 'node-3', { supported_models: ['gemma'], max_concurrent_tasks: 4 })
  expect(await node.next('task.assign')).toMatchObject({ task_id: 'good', user_input })
  expect((await again.post('/api/v1/tasks/bad/cancel', {})).status).toBe(200)
  expect((await again.post('/api/v1/tasks/failed/retry', {})).status).toBe(200)
})

test('a node that polls gets what can be read, behind what cannot', async () => {
  const data_key_file = keyFile('11')
  const service = await startService({ data_key_file })
  await service.submit({ task_id: 'bad', user_input: 'another' })
  await service.submit({ task_id: 'good', user_input })
  await service.stop()
  change(service.file, "UPDATE inference_tasks SET context = user_input WHERE task_id = 'bad'")
  const again = await startService({ data_key_file, database_path: service.file })
  await again.register('node')
  expect(await again.poll('node')).toMatchObject({ task_id: 'good', user_input })
  expect(await again.poll('node', ['good'])).toBeNull()
})
