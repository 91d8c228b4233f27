import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { envelopeInSteps } from '../../src/http/large-answer.js'
import { LARGE_UNITS } from '../../src/lib/json-pieces.js'
import { createReadGate } from '../../src/http/read-gate.js'
import { envelope } from '../../src/wire/envelope.js'
import { exchange } from '../support/raw-http.js'
import { complete } from '../support/rest-calls.js'
import { startService } from '../support/service.js'

function inSteps(data: unknown): { text: string; length: number; steps: number } {
  const making = envelopeInSteps(data)
  for (let steps = 1; ; steps++) {
    const { done, value } = making.next()
    if (done === true) return { text: Buffer.concat(value.pieces).toString(), length: value.length, steps }
  }
}

describe('an answer that is made in steps', () => {
  test('is what JSON.stringify makes of it', () => {
    const value = fc.jsonValue().map((json) => ({ json, missing: undefined, nothing: null }))
    fc.assert(
      fc.property(value, (data) => {
        expect(inSteps(data).text).toBe(JSON.stringify(envelope(data)))
      }),
      { numRuns: 500 },
    )
  })

  test('may hold texts of any length, and divides no character', () => {
    const pattern = fc.string({
      unit: fc.constantFrom('a', '"', '\\', '\u0001', 'é', '你', '😀'),
      minLength: 1,
      maxLength: 9,
    })
    fc.assert(
      fc.property(pattern, fc.nat(3), (text, offset) => {
        const long = 'x'.repeat(offset) + text.repeat(Math.ceil((LARGE_UNITS * 2.5) / text.length))
        const data = { a: long, b: [long], c: '' }
        const { text: made, length, steps } = inSteps(data)
        expect(made === JSON.stringify(envelope(data))).toBe(true)
        expect(length).toBe(Buffer.byteLength(made))
        expect(steps).toBeGreaterThan(4)
        const bytes = { a: Buffer.from(long), b: [Buffer.from(long)], c: Buffer.alloc(0) }
        expect(inSteps(bytes).text === made).toBe(true)
      }),
      { numRuns: 50 },
    )
  })
})

test.each(['x', '\u0001', 'é', '你', '😀', '"\\'])(
  'a result of megabytes of %j comes back as it was, by every route',
  async (unit) => {
    const service = await startService()
    await service.register('node-1')
    const text = unit.repeat(Math.floor((2 * 1024 * 1024) / Buffer.byteLength(unit)))
    const prompt = text.slice(0, text.length / 4)
    const id = await service.submit({ user_input: prompt, context: prompt.slice(0, 10) })
    expect((await service.poll('node-1')).user_input === prompt).toBe(true)
    expect((await complete(service, 'node-1', id, { output: text })).status).toBe(200)
    for (const path of [`/api/v1/tasks/${id}/status`, `/api/v1/tasks/${id}`]) {
      const answer = await exchange(service, 'GET', path)
      const { data } = JSON.parse(answer.text) as { data: { user_input: string; result: { output: string } } }
      expect([data.user_input === prompt, data.result.output === text]).toEqual([true, true])
      expect(Number(answer.headers['content-length'])).toBe(Buffer.byteLength(answer.text))
      expect((await exchange(service, 'HEAD', path)).text).toBe('')
    }
  },
)

describe('the gate of reads', () => {
  /** Enters as often as it may. @returns how often */
  const enterAll = (gate: ReturnType<typeof createReadGate>): number => {
    let n = 0
    while (gate.enter() === undefined) n++
    return n
  }
  test('lets many small reads through at once, and the next when one has left', async () => {
    const gate = createReadGate()
    expect(enterAll(gate)).toBe(32)
    const waits = gate.enter()
    for (let i = 0; i < 2; i++) gate.leave(100)
    await waits
  })
  test('lets few through while answers are large, and at least one', () => {
    const gate = createReadGate()
    void gate.enter()
    gate.leave(2 * 1024 * 1024)
    expect(enterAll(gate)).toBe(4)
    const other = createReadGate()
    void other.enter()
    other.leave(64 * 1024 * 1024)
    expect(enterAll(other)).toBe(1)
  })
  test('forgets large answers after many small ones', () => {
    const gate = createReadGate()
    void gate.enter()
    gate.leave(8 * 1024 * 1024)
    for (let i = 0; i < 200; i++) {
      void gate.enter()
      gate.leave(100)
    }
    expect(enterAll(gate)).toBe(32)
  })
})
