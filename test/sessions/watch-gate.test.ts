import { expect, test } from 'vitest'
import type { AddressKeys } from '../../src/lib/address.js'
import { createWatchGate } from '../../src/ws/client-requests.js'

const MIB = 1024 * 1024
const NOBODY: AddressKeys = []
const STRANGER: AddressKeys = [{ key: '10.0.0.1', times: 1 }]

/** A gate, its time, and how many watches it lets through at once. */
function gateAt() {
  let time = 0
  const gate = createWatchGate(() => time)
  return {
    gate,
    wait: (seconds: number) => void (time += seconds * 1000),
    atOnce(keys: AddressKeys): number {
      const taken: number[] = []
      for (let bytes = gate.take(keys); bytes !== null; bytes = gate.take(keys)) taken.push(bytes)
      for (const bytes of taken) gate.give(keys, bytes)
      return taken.length
    },
  }
}

test('few watches are asked at once before anything is known of their answers, and after a large one', () => {
  const { gate, wait, atOnce } = gateAt()
  expect([atOnce(NOBODY), atOnce(STRANGER)]).toEqual([8, 1])
  wait(60)
  gate.answered(3 * MIB)
  expect([atOnce(NOBODY), atOnce(STRANGER)]).toEqual([10, 1])
  gate.answered(64 * MIB)
  expect([atOnce(NOBODY), atOnce(STRANGER)]).toEqual([8, 1])
})

test('many are when no large one has come for some time, however many small ones did', () => {
  const { gate, wait, atOnce } = gateAt()
  for (let i = 0; i < 10_000; i++) gate.answered(100)
  expect(atOnce(NOBODY)).toBe(8)
  wait(60)
  expect([atOnce(NOBODY), atOnce(STRANGER)]).toEqual([128, 16])
})
