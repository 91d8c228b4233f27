import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { createIdentity } from '../fuzz/honest.mjs'
import { openNodeSession } from './node-session.mjs'

/** A look at /health every so many ms, whether or not the last one was answered. */
const HEALTH_EVERY_MS = 75
/** How long a look may take, ms: more than any that is of use. */
const HEALTH_PATIENCE_MS = 10_000
/** A new node joins every so many ms. One that is refused tries again, as nodes do, and gives up when only what hangs takes so long. */
const JOIN_EVERY_MS = 2000
const TRY_AGAIN_MS = 500
const JOIN_PATIENCE_MS = 60_000

/** What a stranger to the load sees: how quick /health is, each time over a new connection, and how quickly a new node joins. */
export function startProbes(url) {
  const fresh = () => ({ health: [], unhealthy: {}, joins: [], refusedJoins: [], leftOut: [] })
  let now = fresh()
  let ended = false
  let joined = 0

  const look = () => {
    const into = now
    const began = performance.now()
    const taken = () => into.health.push(performance.now() - began)
    const failed = (why) => {
      taken()
      into.unhealthy[why] = (into.unhealthy[why] ?? 0) + 1
    }
    const asked = get(
      `${url}/health`,
      { agent: false, localAddress: '127.0.6.1', timeout: HEALTH_PATIENCE_MS },
      (response) => {
        response.resume()
        response.once('close', () => (response.statusCode === 200 ? taken() : failed(response.statusCode)))
      },
    )
    asked.once('error', (error) => failed(error.code ?? error.message))
    asked.once('timeout', () => asked.destroy(new Error('no answer in time')))
  }
  const looks = setInterval(look, HEALTH_EVERY_MS)

  const join = async () => {
    const n = joined++
    const into = now
    const o = { url, from: `127.1.${n >> 8}.${n & 255 || 1}`, id: `fresh-${n}`, identity: createIdentity() }
    const began = performance.now()
    const left = () => JOIN_PATIENCE_MS - (performance.now() - began)
    for (; left() > 0 && !ended; await sleep(TRY_AGAIN_MS)) {
      try {
        const session = await openNodeSession({ ...o, models: ['mistral-7b'], patience: left() })
        into.joins.push(performance.now() - began)
        return session.close()
      } catch (error) {
        into.refusedJoins.push(error.message)
      }
    }
    into.leftOut.push(o.id)
  }
  let joining = Promise.resolve()
  const joins = (async () => {
    for (; !ended; await sleep(JOIN_EVERY_MS)) await (joining = join())
  })()

  return {
    /** What was seen since the last time, once the node that joins just now has. */
    async take() {
      await joining
      const taken = now
      now = fresh()
      return taken
    },
    async stop() {
      ended = true
      clearInterval(looks)
      await joins
    },
  }
}
