import { setTimeout as sleep } from 'node:timers/promises'
import { latency } from '../bench/lib/measure.mjs'
import { startTable } from './table.mjs'

const ROW_SECONDS = 60
/** How often it is looked whether a phase may end early, s. */
const LOOK_SECONDS = 3

const HEADING = [
  'second',
  'phase   ',
  'tasks/s',
  'refused',
  'closed',
  '/health p50, p99, most ms',
  'joins: slowest ms, refused',
  'MiB: now, most',
  'handles',
  'CPU %: service, honest, attacker, probes, others',
]

const add = (into, counts) => {
  for (const [name, n] of Object.entries(counts)) into[name] = (into[name] ?? 0) + n
}
const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0)
const round = (n) => (Number.isFinite(n) ? Math.round(n) : '-')

/** Collects what the honest side, the probes and the kernel say, minute by minute. */
export function createObserver({ honest, probes, meter, quiet }) {
  const began = performance.now()
  const print = quiet ? () => undefined : startTable(HEADING)

  async function row(phase, since) {
    if (!meter.alive()) throw new Error('the service has ended')
    const seen = await probes.take()
    const report = await honest.call('report')
    const shares = meter.shares()
    const seconds = (performance.now() - since) / 1000
    const figures = { ...report, ...seen, shares, seconds, peak: meter.peak() }
    const { p50, p99, max } = latency(seen.health)
    const percent = (name) => round(shares[name] * 100)
    print([
      round((performance.now() - began) / 1000),
      phase,
      round(report.completed / seconds),
      sum(report.refused),
      report.closed.length,
      `${round(p50)}, ${round(p99)}, ${round(max)}`,
      `${round(Math.max(...seen.joins))}, ${seen.refusedJoins.length}`,
      `${round(meter.resident())}, ${round(figures.peak)}`,
      meter.handles(),
      ['service', 'honest', 'attacker', 'probes', 'others'].map(percent).join(', '),
    ])
    return figures
  }

  return {
    /** Looks on for `seconds`, or until `done()`. @returns what was seen, in all */
    async watch(phase, seconds, done = () => false) {
      const rows = []
      const end = performance.now() + seconds * 1000
      for (let over = false; !over;) {
        const since = performance.now()
        const until = Math.min(end, since + ROW_SECONDS * 1000)
        while (performance.now() < until && !over) {
          await sleep(Math.max(0, Math.min(until - performance.now(), LOOK_SECONDS * 1000)))
          if (!meter.alive()) break
          over = done()
        }
        rows.push(await row(phase, since))
        over ||= performance.now() >= end
      }
      return inAll(rows)
    },
  }
}

function inAll(rows) {
  const total = { refused: {}, unhealthy: {} }
  for (const row of rows) {
    add(total.refused, row.refused)
    add(total.unhealthy, row.unhealthy)
  }
  const seconds = rows.reduce((n, row) => n + row.seconds, 0)
  const all = (name) => rows.flatMap((row) => row[name])
  const weighted = (name) => rows.reduce((n, row) => n + row.shares[name] * row.seconds, 0) / seconds
  return {
    ...total,
    seconds,
    perSecond: rows.reduce((n, row) => n + row.completed, 0) / seconds,
    health: latency(all('health')),
    joins: all('joins'),
    refusedJoins: all('refusedJoins'),
    leftOut: all('leftOut'),
    closed: all('closed'),
    wrong: all('wrong'),
    peak: Math.max(...rows.map((row) => row.peak)),
    shares: Object.fromEntries(Object.keys(rows[0].shares).map((name) => [name, weighted(name)])),
  }
}
