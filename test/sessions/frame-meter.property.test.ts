import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrameMeter } from '../../src/ws/frame-meter.js'
import { clientFrame } from '../support/frames.js'

const frame = (opcode: number, final: boolean, payload: number): Buffer =>
  clientFrame(opcode, Buffer.alloc(payload, 0xff), final)

const size = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(125, 126, 65_535, 65_536, 70_000))
const part = fc.record({ payload: size, pings: fc.array(fc.integer({ min: 0, max: 125 }), { maxLength: 2 }) })
const message = fc.array(part, { minLength: 1, maxLength: 3 })

test('a meter knows after every chunk whether a message is unfinished, and how much of it is here', () => {
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 9000 }), { maxLength: 40 }),
      (messages, cuts) => {
        const pieces: { bytes: Buffer; message: number; control: boolean; last: boolean }[] = []
        messages.forEach((parts, m) =>
          parts.forEach(({ payload, pings }, i) => {
            const last = i === parts.length - 1
            pieces.push({ bytes: frame(i === 0 ? 1 : 0, last, payload), message: m, control: false, last })
            // A control frame may come between the frames of a message.
            for (const ping of pings)
              pieces.push({ bytes: frame(9, true, ping), message: m, control: true, last: false })
          }),
        )
        const stream = Buffer.concat(pieces.map((p) => p.bytes))
        const meter = new FrameMeter()
        for (let at = 0, cut = 0; at < stream.length; cut++) {
          const to = Math.min(stream.length, at + (cuts[cut % Math.max(1, cuts.length)] ?? 4096))
          meter.feed(stream.subarray(at, to))
          at = to
          // What is true: walk the pieces up to here.
          let end = 0
          let whole = true
          let received = 0
          for (const piece of pieces) {
            const begin = end
            end += piece.bytes.length
            if (begin >= at) break
            const here = Math.min(at, end) - begin
            if (piece.control) {
              if (here < piece.bytes.length) whole = false
              continue
            }
            received += here
            whole = false
            if (here === piece.bytes.length && piece.last) {
              whole = true
              received = 0
            }
          }
          expect(meter.unfinished).toBe(!whole)
          // The head of a frame counts once all of it is here: at most 14 bytes.
          expect(received - meter.received).toBeGreaterThanOrEqual(0)
          expect(received - meter.received).toBeLessThan(14)
        }
        expect(meter.unfinished).toBe(false)
      },
    ),
    { numRuns: 200 },
  )
})
