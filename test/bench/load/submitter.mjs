// The submitting side of a measurement, in a process of its own. What it submits to is a module of the same interface as ours.mjs.
import { serveCalls } from '../lib/children.mjs'
import { now } from '../lib/measure.mjs'

let to
serveCalls({
  async open({ module, address, way, run }) {
    const { connectSubmitter } = await import(module)
    to = await connectSubmitter(address, { way, run })
  },
  async one(number) {
    const sent = now()
    await to.submit(number)
    return { sent, acked: now() }
  },
  /** Submits `n` numbers from `from`, with `inFlight` calls that are not answered, each of `bulk` tasks. */
  async many({ from, n, inFlight, bulk }) {
    const acks = []
    const started = now()
    let next = from
    const flow = async () => {
      while (next < from + n) {
        const first = next
        next = Math.min(from + n, first + bulk)
        const sent = now()
        if (bulk === 1) await to.submit(first)
        else await to.submitMany(Array.from({ length: next - first }, (_, i) => first + i))
        acks.push(now() - sent)
      }
    }
    await Promise.all(Array.from({ length: inFlight }, flow))
    return { started, ended: now(), acks: Float64Array.from(acks) }
  },
  close: () => to?.close(),
})
