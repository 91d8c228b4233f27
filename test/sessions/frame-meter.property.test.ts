import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrameMeter } from '../../src/ws/frame-meter.js'
import { clientFrame } from '../support/frames.js'

const frame = (opcode: number, final: boolean, payload: number): Buffer =>
  clientFrame(opcode, Buffer.alloc(payload, 0xff), final)

const size = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(125, 126, 65_535, 65_536, 70_000))
const part = fc.record({ payload: size, pings: fc.array(fc.integer({ min: 0, max: 125 }), { maxLength: 2 }) })
const message = fc.array(part, { minLength: 1, maxLength: 3 })

test('a meter knows after every chunk whether a message is unfinished, how large it will be, and how many have ended', () => {
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 9000 }), { maxLength: 40 }),
      (messages, cuts) => {
        const pieces: { bytes: Buffer; payload: number; control: boolean; last: boolean }[] = []
        messages.forEach((parts) =>
          parts.forEach(({ payload, pings }, i) => {
            const last = i === parts.length - 1
            pieces.push({ bytes: frame(i === 0 ? 1 : 0, last, payload), payload, control: false, last })
            // A control frame may come between the frames of a message.
            for (const ping of pings)
              pieces.push({ bytes: frame(9, true, ping), payload: ping, control: true, last: false })
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
          let announced = 0
          let ended = 0
          for (const piece of pieces) {
            const begin = end
            end += piece.bytes.length
            if (begin >= at) break
            const isHere = end <= at
            if (piece.control) {
              if (!isHere) whole = false
              else if (whole) ended++
              continue
            }
            // Announced once its head is here.
            if (at - begin >= piece.bytes.length - piece.payload) announced += piece.payload
            whole = isHere && piece.last
            if (!whole) continue
            announced = 0
            ended++
          }
          expect([meter.unfinished, meter.announced, meter.ended]).toEqual([!whole, announced, ended])
        }
        expect(meter.unfinished).toBe(false)
      },
    ),
    { numRuns: 200 },
  )
})
