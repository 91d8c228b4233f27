// The working side of a measurement, in a process of its own: answers every task at once, and misses none and counts none twice.
import { serveCalls } from '../lib/children.mjs'
import { now } from '../lib/measure.mjs'

let nodes
let from = 0
let arrivals = new Float64Array(0)
let settlements = new Float64Array(0)
let left = 0
let closed = 0
let wrong
let check = () => {}

const fault = (text) => {
  wrong ??= text
  check()
}
process.on('uncaughtException', (error) => fault(error.stack))
process.on('unhandledRejection', (error) => fault(error?.stack ?? String(error)))

function note(times, number, what) {
  const i = number - from
  if (!(i >= 0 && i < times.length)) return fault(`task ${number} was ${what}, and nobody submitted it in this run`)
  if (times[i] !== 0) return fault(`task ${number} was ${what} twice`)
  times[i] = now()
}

const until = (reached) =>
  new Promise((done, fail) => {
    check = () => {
      if (wrong !== undefined) fail(new Error(wrong))
      else if (reached()) done()
    }
    check()
  }).finally(() => (check = () => {}))

serveCalls({
  async open({ module, address, run, count, slots, prefetch, delay }) {
    const { connectNodes } = await import(module)
    nodes = await connectNodes(address, {
      run,
      count,
      slots,
      prefetch,
      delay,
      onClose: (reason) => {
        closed++
        fault(reason)
      },
      onTask: (number) => note(arrivals, number, 'assigned'),
      onSettled(number) {
        note(settlements, number, 'settled')
        left--
        check()
      },
    })
  },
  expect(next) {
    if (left !== 0) throw new Error(`${left} tasks of the last run are missing`)
    from = next.from
    left = next.n
    arrivals = new Float64Array(next.n)
    settlements = new Float64Array(next.n)
  },
  async one(number) {
    await until(() => settlements[number - from] !== 0)
    return { arrived: arrivals[number - from], settled: settlements[number - from] }
  },
  /** Once everything is settled: when that was. */
  async all() {
    await until(() => left === 0)
    await nodes.durable?.()
    const finished = now()
    await new Promise((done) => setTimeout(done, 100)) // what comes twice would come now
    await until(() => true)
    const missing = arrivals.indexOf(0)
    if (missing >= 0) throw new Error(`task ${from + missing} was settled, and never assigned`)
    return { finished }
  },
  missing: () => left,
  /** What has not come of the last run will not be missed. */
  forget: () => void (left = 0),
  /** How many were settled, the last of them when, and how many from `since` to `until`; how many sessions closed. */
  served: ({ since, until: end }) => ({
    settled: settlements.filter((t) => t !== 0).length,
    within: settlements.filter((t) => t >= since && t < end).length,
    last: settlements.reduce((a, b) => Math.max(a, b), 0),
    closed,
    wrong,
  }),
  close: () => nodes?.close(),
})
