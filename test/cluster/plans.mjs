import { setTimeout as sleep } from 'node:timers/promises'
import { waitFor } from './wait.mjs'

/** What a takeover may take beside the silence that it waits for, ms: the log may have to elect a leader. */
const BESIDE_MS = 17_000
/** How long the cluster may take to be whole again after one fault, ms. */
const WHOLE_MS = 60_000
/** So many faults may overlap. */
const LANES = 3
/** How long the work goes on before something happens, ms. */
const BEFORE_MS = 2000

const count = (counts, name) => (counts[name] = (counts[name] ?? 0) + 1)

/** What happens in a round. */
export const plans = { liveness, safety, takeover }

/** One fault after the other: with each the cluster must serve again soon, and be whole again when it is undone. */
async function liveness(parts) {
  const { world, seconds, round, fault } = parts
  const only = fault === '' ? undefined : world.faults.names.indexOf(fault)
  if (only === -1) throw new Error(`there is no fault "${fault}": ${world.faults.names.join(', ')}`)
  const end = Date.now() + seconds * 1000
  for (let turn = 0; Date.now() < end; turn++) {
    await sleep(BEFORE_MS)
    await oneFault(parts, { seed: [round, turn], only })
  }
}

/** The owner is killed in the middle of the work, and its folder deleted. */
async function takeover(parts) {
  const { world, seconds, round, say } = parts
  const lose = world.faults.names.indexOf('the owner is killed and its folder deleted')
  await sleep((seconds * 1000) / 2)
  const outage = await oneFault(parts, { seed: [round], only: lose })
  if (outage !== null) say(`the first submission was acknowledged ${(outage / 1000).toFixed(1)} s after the kill`)
  await sleep((seconds * 1000) / 2)
}

/** @returns for how long nobody was served, ms; null when nothing happened */
async function oneFault({ world, ledger, takeoverAfter, counts, outages, say }, { seed, only }) {
  const { probe } = world
  const limit = takeoverAfter * 1000 + BESIDE_MS
  let outage = null
  let began = 0
  const happened = await world.faults.happen(seed, {
    only,
    signal: new AbortController().signal,
    onBegin() {
      began = performance.now()
      probe.mark()
    },
    /** The fault lasts until somebody is served in spite of it. */
    async until(name) {
      const left = Math.max(0, began + limit - performance.now())
      outage = await waitFor('an answer', left, () => probe.answeredAfter()).catch(() => null)
      if (outage === null || outage > limit) ledger.violate(`I6: ${name}: nobody was served for ${limit / 1000} s`)
      if (outage !== null) (outages[name] ??= []).push(outage)
    },
  })
  world.faults.healAll()
  await waitFor('a whole cluster', WHOLE_MS, world.whole).catch(() =>
    ledger.violate(`I6: not whole within ${WHOLE_MS / 1000} s after: ${happened}`),
  )
  if (happened !== null) {
    count(counts, happened.replace(/ \(.*/, ''))
    say(`${happened}: served again after ${outage === null ? '-' : (outage / 1000).toFixed(1)} s`)
  }
  return outage
}

/** Faults overlap as they like: what must hold is what was promised, not that anybody is served. */
async function safety({ world, choice, seconds, round, counts, say }) {
  const over = new AbortController()
  const timer = setTimeout(() => over.abort(), seconds * 1000)
  const lane = async (number) => {
    for (let turn = 0; !over.signal.aborted; turn++) {
      const seed = [round, number, turn]
      await sleep(500 + choice('gap', ...seed) * 6000, undefined, { signal: over.signal }).catch(() => undefined)
      const happened = await world.faults.happen(seed, { signal: over.signal })
      if (happened === null) continue
      count(counts, happened.replace(/ \(.*/, ''))
      say(happened)
    }
  }
  await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)))
  clearTimeout(timer)
}
