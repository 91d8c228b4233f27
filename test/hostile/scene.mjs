import { createReadStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { startChild } from '../bench/lib/children.mjs'
import { startService } from '../bench/lib/service.mjs'
import { createRandom } from '../fuzz/random.mjs'
import { createMeter } from './meter.mjs'
import { createObserver } from './observer.mjs'
import { checkStored } from './stored.mjs'
import { startProbes } from './probes.mjs'
import { recovered } from './verdict.mjs'

/** Everything the attacker does comes from here; its limits are those of one address. */
const HOSTILE = '127.0.0.66'
const NODES = 50
const POLLERS = 5
const WARM_SECONDS = 5
/** How long it may take until everybody is there, ms: only what hangs takes so long. */
const OPENING_MS = 120_000
/** How long the service may take to be as before when the attack is over, s. */
const RECOVERY_SECONDS = 90
/** What has not ended is stuck when nothing has for so long, s; and how long the end may take in all. */
const STUCK_SECONDS = 60
const END_SECONDS = 600

const here = (file) => new URL(file, import.meta.url)

/**
 * One service, honest parties and the attacks of `names`: warms up, measures without attack, attacks for `seconds`, and waits
 * until it is as before.
 * @param speed whether it is judged how soon it is as before
 * @param quiet prints no table
 * @returns the figures that verdict.mjs judges
 */
export async function runAttacks({ names, seconds, seed, rate, thread, speed, quiet = false }) {
  const folder = mkdtempSync(join(tmpdir(), 'inference-hostile-'))
  const database = join(folder, 'inference.db')
  const random = createRandom(seed)
  const service = await startService({ database, config: { count_loopback: true, core_thread: thread } })
  const honest = startChild(here('honest.mjs'))
  const attacker = startChild(here('attacker.mjs'))
  const meter = createMeter({ service: service.pid, honest: honest.pid, attacker: attacker.pid, probes: process.pid })
  const calmSeconds = Math.min(120, Math.max(8, seconds / 3))
  let probes
  try {
    await sleep(1000)
    const idle = meter.resident()
    const most = Math.ceil(rate * (WARM_SECONDS + calmSeconds + seconds + RECOVERY_SECONDS + 600) * 1.1)
    const seedOf = () => random.below(2 ** 32)
    const opening = { url: service.url, seed: seedOf(), nodes: NODES, pollers: POLLERS, most }
    await honest.call('open', opening, OPENING_MS)
    // What it needs is made before, so that the attack is whole from its first second on.
    await attacker.call('prepare', { url: service.url, from: HOSTILE, seed: seedOf(), names }, OPENING_MS)
    await honest.call('begin', { rate })
    probes = startProbes(service.url)
    const observer = createObserver({ honest, probes, meter, quiet })
    const watch = (phase, time, until) => observer.watch(phase, time, until)

    await watch('warm up', WARM_SECONDS)
    const calm = await watch('before', calmSeconds)
    const before = { resident: meter.resident(), handles: meter.handles() }
    const logFile = join(service.folder, 'service.log')
    const logBefore = statSync(logFile).size
    await attacker.call('begin')
    const attack = await watch('attack', seconds)
    const attacks = await attacker.call('counts')
    await attacker.stop()
    const now = () => ({ resident: meter.resident(), handles: meter.handles() })
    const after = await watch('recovery', speed ? RECOVERY_SECONDS : 5, () => recovered({ before, after: now() }))
    const left = now()
    const { acknowledged, missing } = await honest.call(
      'enough',
      { patience: STUCK_SECONDS * 1000 },
      END_SECONDS * 1000,
    )
    const wrong = [...attack.wrong, ...after.wrong]
    if (missing > 0 && attack.closed.length + after.closed.length === 0)
      wrong.push(`${missing} watched results have not come`)
    const figures = {
      alive: meter.alive(),
      idle,
      peak: Math.max(attack.peak, after.peak),
      calm,
      attack,
      attacks,
      closed: [...attack.closed, ...after.closed],
      before,
      after: left,
      wrong,
      log: await readLog(logFile, logBefore),
    }
    await probes.stop()
    await settled(service.url)
    await honest.call('end')
    await honest.stop()
    await service.stop()
    return {
      ...figures,
      acknowledged: acknowledged.reduce((n, is) => n + is, 0),
      lost: checkStored(database, acknowledged),
    }
  } catch (error) {
    if (meter.alive()) throw error
    return { alive: false, lastWords: service.log().slice(-3000) }
  } finally {
    await probes?.stop()
    await Promise.all([honest.stop(), attacker.stop()])
    await service.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Waits until no task waits or is worked on, or nothing ends any more; what is left over then is lost. */
async function settled(url) {
  let last = { open: Infinity, at: performance.now() }
  const began = last.at
  for (let now = began; now - last.at < STUCK_SECONDS * 1000 && now - began < END_SECONDS * 1000; await sleep(100)) {
    const { data } = await (await fetch(`${url}/api/v1/stats`, { signal: AbortSignal.timeout(60_000) })).json()
    const open = data.pending_tasks + data.processing_tasks
    if (open === 0) return
    now = performance.now()
    if (open < last.open) last = { open, at: now }
  }
}

/** What was logged from byte `start` on: KiB, and the lines that are errors, the first of them too. */
async function readLog(file, start) {
  let errors = 0
  let first = ''
  for await (const line of createInterface({ input: createReadStream(file, { start }) })) {
    if (!/"level":(?:50|60)\b|\b(?:ERROR|FATAL)\b/.test(line)) continue
    if (errors++ === 0) first = line.slice(0, 300)
  }
  return { kib: Math.round((statSync(file).size - start) / 1024), errors, first }
}
