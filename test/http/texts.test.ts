import fc from 'fast-check'
import { expect, test } from 'vitest'
import { expectRefusal, JSON_TYPE } from '../support/raw-http.js'
import { inspect, startService, task } from '../support/service.js'
import { state } from '../support/stored-state.js'

/** What breaks where text is cut at NUL, normalized, escaped wrongly, or counted in the wrong unit. */
const TEXTS = [
  '',
  ' ',
  '\0',
  'a\0b\0',
  '😀👩‍👩‍👧‍👦',
  'e\u0301 \u00e9',
  '\ufeffbom',
  '\uffff\ufdd0',
  '\u2028\u2029',
  '\r\n\t\b\u007f\u0085',
  '"\\/',
  '</script>',
  'שלום 你好',
  '\u{10ffff}',
  '{"fee": 1}',
  ' "fee":12345678901234567890, \\"nonce": 1e-400,',
  '\u202eabc',
]

test('a lone surrogate is 400 in every text, and a pair written as escapes is the character', async () => {
  const service = await startService()
  await service.register('node-1')
  const before = await state(service)
  for (const field of [
    'task_id',
    'user_address',
    'user_input',
    'context',
    'model_name',
    'signed_tx',
    'signer_public_key',
  ]) {
    for (const bad of ['\ud800', 'a\udc00b', '\udc00\ud800']) {
      expectRefusal(
        await service.post('/api/v1/tasks', task({ [field]: bad })),
        400,
        'invalid_request',
        new RegExp(`^${field}: `),
      )
    }
  }
  for (const [field, path] of [
    ['output', 'complete'],
    ['error', 'fail'],
    ['task_id', 'complete'],
    ['inference_node_id', 'fail'],
  ] as const) {
    const body = {
      task_id: 't',
      inference_node_id: 'node-1',
      output: 'o',
      confidence: 1,
      error: 'e',
      [field]: 'x\ud83d',
    }
    expectRefusal(await service.post(`/api/v1/tasks/${path}`, body), 400, 'invalid_request', new RegExp(`^${field}: `))
  }
  expect(await state(service)).toEqual(before)
  const escaped = JSON.stringify(task({ task_id: 'pair', user_input: 'X' })).replace('"X"', '"\\ud83d\\ude00"')
  expect((await service.send('POST', '/api/v1/tasks', escaped, JSON_TYPE)).status).toBe(200)
  expect(await service.status('pair')).toMatchObject({ user_input: '😀' })
})

test('prompts, contexts and outputs come back byte for byte, over the wire and in the file', async () => {
  const service = await startService()
  await service.register('node-1')
  for (const [i, text] of TEXTS.entries()) {
    const id = await service.submit({ task_id: `text-${i}`, user_input: text, context: `${text}c`, signed_tx: text })
    expect(await service.poll('node-1')).toMatchObject({
      task_id: id,
      user_input: text,
      context: `${text}c`,
      signed_tx: text,
    })
    expect(
      (
        await service.post('/api/v1/tasks/complete', {
          task_id: id,
          output: `${text}o`,
          confidence: 1,
          inference_node_id: 'node-1',
        })
      ).status,
    ).toBe(200)
    expect(await service.status(id)).toMatchObject({
      user_input: text,
      context: `${text}c`,
      result: { output: `${text}o` },
    })
    const row = inspect(service.file, (db) =>
      db.prepare('SELECT user_input, context, output FROM inference_tasks WHERE task_id = ?').get(id),
    )
    expect(row).toEqual({ user_input: text, context: `${text}c`, output: `${text}o` })
  }
})

test('any Unicode text comes back as it was', async () => {
  const service = await startService()
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  let round = 0
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 50 }), async (pairs) => {
      round++
      const tasks = pairs.map(([user_input, context], i) => ({
        ...task(),
        task_id: `${round}-${i}`,
        user_input,
        context,
      }))
      const answer = await service.post('/api/v1/tasks/batch', { tasks })
      expect(answer.body?.data.results).toMatchObject(tasks.map((t) => ({ task_id: t.task_id })))
      for (const { task_id, user_input, context } of tasks.slice(0, 3))
        expect(await service.status(task_id)).toMatchObject({ user_input, context })
      const rows = inspect(service.file, (db) =>
        db
          .prepare('SELECT task_id, user_input, context FROM inference_tasks WHERE task_id GLOB ? ORDER BY rowid')
          .all(`${round}-*`),
      )
      expect(rows).toEqual(tasks.map(({ task_id, user_input, context }) => ({ task_id, user_input, context })))
    }),
    { numRuns: 10 },
  )
})
