import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { JournalUnreachable } from '../../src/cluster/port.js'
import { fetchSeed, offerSeeds } from '../../src/cluster/seed.js'
import { openDatabase } from '../../src/store/open.js'
import { createMemoryLog } from '../support/memory-log.js'
import { tempDir } from '../support/temp-dir.js'

const besides = (file: string): string[] =>
  readdirSync(dirname(file)).filter((name) => name.startsWith(`${basename(file)}.seed-`))

/** An owner's file whose copies are offered. */
function offered(left: readonly string[] = []) {
  const file = join(tempDir(), 'c1.db')
  const db = openDatabase(file)
  onTestFinished(() => db.close())
  for (const name of left) writeFileSync(`${file}${name}`, 'of an owner that was killed')
  const { bus } = createMemoryLog().connect()
  const said: unknown[] = []
  const tell = ({ event }: Record<string, unknown>): void => void said.push(event)
  const log = { info: tell, warn: tell }
  let at = 700
  const seeds = offerSeeds({ bus, file, maxWalBytes: 1e9, at: () => at++, log })
  onTestFinished(seeds.stop)
  return { file, seeds, bus, said }
}

test('what an owner that was killed has left of its copies is removed, and nothing else', () => {
  const id = '5f0c7c9e-8f0e-4f57-9d3a-2f4f0a6c1b11'
  const { file } = offered([`.seed-${id}`, `.seed-${id}.17.partial`, '.diverged-2026-01-01T00-00-00-000Z'])
  expect(besides(file)).toEqual([])
  expect(existsSync(`${file}.diverged-2026-01-01T00-00-00-000Z`)).toBe(true)
})

test('as long as a copy is there, the log is needed from where it was begun', async () => {
  const { file, seeds, bus } = offered()
  expect(seeds.needed()).toBe(null)
  const to = join(tempDir(), 'c2.db')
  const bytes = await fetchSeed(bus, to, new AbortController().signal)
  expect(bytes).toBeGreaterThan(0)
  expect(seeds.needed()).toBe(700)
  expect(besides(file)).toHaveLength(1)
  await seeds.stop()
  expect([seeds.needed(), besides(file)]).toEqual([null, []])
})

test('a stop does not wait for a copy that is being made, and leaves nothing of it', async () => {
  const { file, seeds, bus, said } = offered()
  const asked = fetchSeed(bus, join(tempDir(), 'c2.db'), AbortSignal.timeout(10_000)).catch((error: unknown) => error)
  await Promise.resolve()
  await seeds.stop()
  expect(besides(file)).toEqual([])
  expect([seeds.needed(), said]).toEqual([null, []])
  expect(await asked).toBeInstanceOf(JournalUnreachable)
})
