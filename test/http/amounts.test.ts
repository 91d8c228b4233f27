import fc from 'fast-check'
import { expect, test } from 'vitest'
import { expectRefusal, JSON_TYPE } from '../support/raw-http.js'
import { inspect, startService, task } from '../support/service.js'

const MAX = Number.MAX_SAFE_INTEGER

test('fees and nonces are taken at their edges, as numbers and as decimal strings, and always come back as numbers', async () => {
  const service = await startService()
  for (const field of ['fee', 'nonce', 'infer_fee']) {
    for (const [given, stored] of [
      [0, 0],
      ['0', 0],
      [-0, 0],
      [1, 1],
      ['1', 1],
      ['007', 7],
      [MAX, MAX],
      [String(MAX), MAX],
      [MAX - 1, MAX - 1],
      [2 ** 31, 2 ** 31],
      [2 ** 32, 2 ** 32],
      ['4294967297', 4294967297],
    ] as const) {
      const id = await service.submit({ [field]: given })
      expect((await service.status(id))[field]).toBe(stored)
      expect(
        inspect(service.file, (db) =>
          db.prepare(`SELECT ${field} AS n, typeof(${field}) AS type FROM inference_tasks WHERE task_id = ?`).get(id),
        ),
      ).toEqual({ n: stored, type: 'integer' })
    }
    for (const bad of [
      -1,
      '-1',
      0.5,
      '0.5',
      1e21,
      MAX + 1,
      String(MAX + 1),
      '9007199254740993',
      '18446744073709551616',
      '1e3',
      '0x10',
      '',
      ' 1',
      '1 ',
      '+1',
      '1_000',
      '１',
      'NaN',
      true,
      null,
      [],
      [1],
      {},
    ]) {
      expectRefusal(
        await service.post('/api/v1/tasks', task({ [field]: bad })),
        400,
        'invalid_request',
        new RegExp(`^${field}: .*integer`),
      )
    }
  }
})

test('whatever amount is offered, it is taken exactly or refused', async () => {
  const service = await startService()
  const value = fc.oneof(
    fc.maxSafeInteger(),
    fc.double(),
    fc.bigInt({ min: 0n, max: 2n ** 54n }).map(String),
    fc.tuple(fc.nat({ max: 20 }), fc.maxSafeNat()).map(([zeros, n]) => '0'.repeat(zeros) + String(n)),
    fc.string({ maxLength: 4 }),
    fc.mixedCase(fc.constantFrom('1e5', '0x1f', 'infinity')),
    fc.constantFrom(MAX, MAX + 1, String(MAX), String(MAX + 1)),
  )
  await fc.assert(
    fc.asyncProperty(value, async (given) => {
      const answer = await service.post('/api/v1/tasks', task({ nonce: given }))
      const n =
        typeof given === 'number' ? given : /^[0-9]+$/.test(given) && BigInt(given) <= BigInt(MAX) ? Number(given) : NaN
      if (!Number.isSafeInteger(n) || n < 0) return expectRefusal(answer, 400, 'invalid_request', /^nonce: /)
      expect((await service.status(answer.body?.data.task_id as string)).nonce).toBe(n + 0)
    }),
    { numRuns: 150 },
  )
})

test('an amount that is written with a fraction or an exponent is taken when it is an integer, and never rounded to one', async () => {
  const service = await startService()
  const submit = (literal: string) =>
    service.send('POST', '/api/v1/tasks', JSON.stringify(task({ infer_fee: 'X' })).replace('"X"', literal), JSON_TYPE)
  for (const [literal, n] of [
    ['1.0', 1],
    ['1e3', 1000],
    ['2500.00', 2500],
    ['9007199254740991', MAX],
    ['-0', 0],
  ] as const) {
    expect((await service.status((await submit(literal)).body?.data.task_id as string)).infer_fee).toBe(n)
  }
  // The last three would be integers after JSON.parse, which rounds to what a double can hold.
  for (const literal of [
    '1.5',
    '1e-1',
    '9007199254740992',
    '9007199254740993',
    '1e400',
    '9007199254740990.5',
    '1.00000000000000000001',
    '1e-400',
  ]) {
    expect.soft({ literal, status: (await submit(literal)).status }).toEqual({ literal, status: 400 })
  }
  const entries = JSON.stringify({
    tasks: [task({ task_id: 'a' }), task({ infer_fee: 'X' }), task({ task_id: 'b' })],
  }).replace('"X"', '9007199254740990.5')
  expect((await service.send('POST', '/api/v1/tasks/batch', entries, JSON_TYPE)).body?.data.results).toMatchObject([
    { task_id: 'a' },
    { error: expect.stringMatching(/^infer_fee: /), code: 'invalid_request' },
    { task_id: 'b' },
  ])
})

test('however an amount is written, what is taken is exactly what was written', async () => {
  const service = await startService()
  const digits = fc.oneof(
    fc.maxSafeNat().map(String),
    fc.bigInt({ min: 0n, max: 2n ** 55n }).map(String),
    fc.constantFrom(String(MAX), String(MAX - 1), '0', '1'),
  )
  const fraction = fc.oneof(fc.constant(''), fc.stringMatching(/^\.0{0,18}[0-9]$/))
  const exponent = fc.oneof(
    { weight: 3, arbitrary: fc.constant('') },
    fc.tuple(fc.constantFrom('e', 'E', 'e+'), fc.nat({ max: 3 })).map(([e, n]) => e + String(n)),
    fc.integer({ min: -400, max: -1 }).map((n) => `e${n}`),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('fee', 'nonce', 'infer_fee'),
      digits,
      fraction,
      exponent,
      async (field, d, f, e) => {
        const literal = d + f + e
        const answer = await service.send(
          'POST',
          '/api/v1/tasks',
          JSON.stringify(task({ [field]: 'X' })).replace('"X"', literal),
          JSON_TYPE,
        )
        // The value is digits x 10^places, counted without rounding.
        const places = Number(e.slice(1) || 0) - Math.max(f.length - 1, 0)
        const all = BigInt(d + f.slice(1))
        const exact =
          places >= 0
            ? all * 10n ** BigInt(places)
            : all % 10n ** BigInt(-places) === 0n
              ? all / 10n ** BigInt(-places)
              : null
        const fits = exact !== null && exact <= BigInt(MAX)
        if (answer.status === 200)
          expect({
            literal,
            n: BigInt((await service.status(answer.body?.data.task_id as string))[field] as number),
          }).toEqual({ literal, n: exact })
        else expectRefusal(answer, 400, 'invalid_request', new RegExp(`^${field}: `))
        if (f + e === '') expect({ literal, status: answer.status }).toEqual({ literal, status: fits ? 200 : 400 })
      },
    ),
    { numRuns: 150 },
  )
})

test('max_infer_time is an integer from 1', async () => {
  const service = await startService()
  for (const bad of [0, -1, 1.5, '60', null, true, 1e300, []])
    expectRefusal(
      await service.post('/api/v1/tasks', task({ max_infer_time: bad })),
      400,
      'invalid_request',
      /^max_infer_time: /,
    )
  for (const good of [1, 60, 86_400])
    expect(await service.status(await service.submit({ max_infer_time: good }))).toMatchObject({ max_infer_time: good })
})
