// A submitter and nodes, each in a process of its own, against one system, and what is measured with them.
import { setTimeout as sleep } from 'node:timers/promises'
import { startChild } from './children.mjs'

const here = (file) => new URL(`../${file}`, import.meta.url)

/**
 * Starts both sides.
 * @param to { module, address, way, run }: the module of the system, of the interface of ours.mjs, where it is, how it is submitted to, and
 *   a name that no other load on it has had @param o.count nodes
 * @returns { submitter, nodes, close(), stop() }: `close` ends their sessions, `stop` their processes, whatever has become of them
 */
export async function openLoad(to, { count, slots, prefetch }) {
  const submitter = startChild(here('load/submitter.mjs'))
  const nodes = startChild(here('load/nodes.mjs'))
  const stop = () => Promise.all([submitter.stop(), nodes.stop()])
  try {
    await Promise.all([submitter.call('open', to), nodes.call('open', { ...to, count, slots, prefetch })])
  } catch (error) {
    await stop()
    throw error
  }
  return {
    submitter,
    nodes,
    stop,
    async close() {
      await submitter.call('close')
      await nodes.call('close')
    },
  }
}

/**
 * Submits the `n` tasks from number `from` as fast as they go, and waits until all are settled.
 * @param limit ms
 * @returns { started, ended, acks, finished }: of the submitter, and when the last one was settled
 */
export async function pass({ submitter, nodes }, { from, n, inFlight, bulk, limit }) {
  await nodes.call('expect', { from, n })
  const all = nodes.call('all', undefined, limit).catch(async (error) => {
    throw new Error(`${error.message} (${await nodes.call('missing').catch(() => '?')} of ${n} tasks missing)`)
  })
  const [s, { finished }] = await Promise.all([submitter.call('many', { from, n, inFlight, bulk }, limit), all])
  return { ...s, finished }
}

/** Submits one task that is expected, and waits until it is settled. @returns { sent, acked, arrived, settled } */
export async function single({ submitter, nodes }, number, limit) {
  const [s, n] = await Promise.all([submitter.call('one', number), nodes.call('one', number, limit)])
  return { ...s, ...n }
}

/** Until an idle system has nothing left to do of the task before. @param slowDisk ms that every fsync takes longer */
export const quiet = (slowDisk) => sleep(3 + Math.random() * 6 + slowDisk * 4)
