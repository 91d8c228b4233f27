import fc from 'fast-check'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { brokenRules } from './model/broken-rules.js'
import { makeTemplate, run, type RunParts } from './model/run.js'
import { schedules, schedulesOfLoss, type Schedule } from './model/steps.js'

/**
 * Random schedules of everything that may happen to a cluster, against real members, cores and files, on a log in memory and in virtual
 * time. Nothing that was answered may be contradicted, and afterwards one of them serves.
 *
 * MODEL_RUNS=10000: so many schedules, for as long as it takes. MODEL_SEED: the one that a failure has printed. MODEL_SCHEDULE: only this
 * schedule, as JSON, with the log of its members.
 */

const { MODEL_RUNS, MODEL_SEED, MODEL_SCHEDULE } = process.env
const RUNS = Number(MODEL_RUNS ?? 150)
/** One of so many has a log that loses what it has acknowledged. */
const LOSS_SHARE = 5
/** Without a number of runs the two properties together take no longer, ms. */
const DEFAULT_MS = 8_000
/** The same schedules in every run of the tests; those of other seeds are looked for with MODEL_SEED. */
const DEFAULT_SEED = 79
/** Of each property, ms. */
const timeout = MODEL_RUNS === undefined ? 120_000 : RUNS * 5000

let root = ''
let template = ''
beforeAll(() => {
  root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'inference-model-'))
  template = makeTemplate(join(root, 'empty.db'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

async function holds(kind: fc.Arbitrary<Schedule>, share: number): Promise<void> {
  const until = MODEL_RUNS === undefined ? performance.now() + DEFAULT_MS * share : Infinity
  await fc.assert(
    fc.asyncProperty(kind, async (schedule) => {
      // Not fast-check's own limit of time, which leaves the last one running.
      if (performance.now() < until) await run({ schedule, root, template })
    }),
    { numRuns: Math.ceil(RUNS * share), seed: Number(MODEL_SEED ?? DEFAULT_SEED) },
  )
}

describe.runIf(MODEL_SCHEDULE === undefined)('a cluster in memory', () => {
  test('contradicts nothing that it has answered, whatever fails, and serves again afterwards', { timeout }, () =>
    holds(schedules, 1 - 1 / LOSS_SHARE),
  )

  test('gives the log again what that has lost', { timeout }, () => holds(schedulesOfLoss, 1 / LOSS_SHARE))

  /** A seed that finds it soon, and how many schedules it may take. */
  const found: Record<string, { seed: number; within: number }> = {
    'the log stores without comparing what is before': { seed: 1, within: 5 },
    'turns are told before the log has them': { seed: 3, within: 20 },
    'a follower skips what a record says': { seed: 1, within: 5 },
    'a claim does not read to the end': { seed: 113, within: 20 },
    'what may have been stored is sent again': { seed: 2, within: 20 },
  }
  test.for(Object.entries(brokenRules))('is seen to fail when %s', { timeout: 120_000 }, async ([name, broken]) => {
    const { seed, within } = found[name] ?? { seed: 1, within: 60 }
    const { failed } = await fc.check(
      fc.asyncProperty(schedules, (schedule) => run({ schedule, root, template, broken })),
      { seed, numRuns: within, endOnFailure: true },
    )
    expect(failed).toBe(true)
  })
})

test.runIf(MODEL_SCHEDULE !== undefined)('one schedule, with the log of its members', { timeout: 120_000 }, () => {
  const timestamp = (): string => `,"ms":${performance.now()}`
  const logger: RunParts['logger'] = pino({ level: 'debug', base: null, timestamp })
  return run({ schedule: JSON.parse(MODEL_SCHEDULE ?? '') as Schedule, root, template, logger })
})
