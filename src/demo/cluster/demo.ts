import { setTimeout as sleep } from 'node:timers/promises'
import { InferenceClient, type Stats } from '../../client/index.js'
import { bar } from '../../lib/bar.js'
import { playInFolder, type OnEnd } from '../in-folder.js'
import { startNode } from '../node-process.js'
import { createScreen } from '../screen.js'
import { becomes, prepareCoordinators } from './coordinators.js'
import { findLogServer, startLogServers } from './log-servers.js'
import { startSubmitter } from './submitter.js'

const TASKS = 240
const NODES = 4
const SLOTS = 3
/** How long an answer takes at a node, seconds. */
const ANSWER_SECONDS = 0.5
/** The longest that a coordinator takes to start, or to take over, or to come back, ms. */
const COORDINATOR_MS = 30_000
/** The longest that all work may take, ms. */
const LIMIT_MS = 90_000
const LOOK_MS = 500
/** What stands before what is said: the time. */
const INDENT = 9

/**
 * A cluster in a minute: three log servers, two coordinators, and in the middle of the work the death of the one that owns it, with
 * its disk.
 * @returns whether every acknowledged task was completed, once
 * @throws Error when there is no log server on this machine: the message says what to install
 */
export async function runClusterDemo(): Promise<boolean> {
  findLogServer()
  return playInFolder('inference-cluster-demo-', play)
}

/** How much the journal may hold on each server: far more than is written here, and little for the disk. */
const JOURNAL_BYTES = 1024 ** 3

async function play(dir: string, onEnd: OnEnd): Promise<boolean> {
  const screen = createScreen(process.stdout)
  const started = Date.now()
  const say = (line: string): void =>
    screen.say(`${((Date.now() - started) / 1000).toFixed(1).padStart(5)} s  ${line}`, INDENT)

  const log = await startLogServers(dir)
  onEnd(() => log.stop())
  say('three log servers keep what the coordinators write, each on a disk of its own if this were three machines')
  const [first, second] = await prepareCoordinators(dir, log, ['c1', 'c2'])
  if (first === undefined || second === undefined) throw new Error('there are no two coordinators')
  onEnd(async () => void (await Promise.all([first.leave(), second.leave()])))
  await first.order('init', '--max-bytes', String(JOURNAL_BYTES))
  first.start()
  await becomes(first, 'owner', COORDINATOR_MS)
  second.start()
  await becomes(second, 'follower, level', COORDINATOR_MS)
  say(`two coordinators: c1 on ${first.url} owns the work, c2 on ${second.url} follows it, record by record`)

  const urls = [first.url, second.url]
  const nodes = Array.from({ length: NODES }, (_, i) =>
    startNode(dir, `gpu-${i + 1}`, urls, ['llama'], SLOTS, ['type = "echo"', `delay = ${ANSWER_SECONDS}`]),
  )
  onEnd(async () => void (await Promise.all(nodes.map((node) => node.leave()))))
  const client = new InferenceClient({ url: urls })
  onEnd(() => client.close())
  const look = async (until: (stats: Stats) => boolean): Promise<Stats> => {
    for (const end = started + LIMIT_MS; ; await sleep(LOOK_MS)) {
      const stats = await client.stats().catch(() => null)
      if (stats !== null) screen.show([counters(stats)])
      if (stats !== null && until(stats)) return stats
      if (Date.now() > end)
        throw new Error(
          `not everything was done within ${LIMIT_MS / 1000} s: ${stats === null ? 'nobody answers' : counters(stats)}`,
        )
    }
  }
  await look((stats) => stats.online_nodes + stats.busy_nodes >= NODES)
  const submitter = startSubmitter(urls, TASKS)
  onEnd(() => submitter.close())
  say(`${NODES} nodes and a submitter know both addresses; ${TASKS} tasks are being submitted`)

  const before = await look((stats) => stats.total_tasks >= TASKS / 3 && stats.processing_tasks > 0)
  const acknowledged = submitter.acknowledged.length
  const killed = Date.now()
  await first.destroy()
  say(
    `c1 is killed with ${before.processing_tasks} tasks at work and ${acknowledged} acknowledged, and its folder is deleted: nothing of it is left`,
  )
  const takeoverSeconds = ((await submitter.nextAcknowledged()) - killed) / 1000
  say(`c2 has taken over: ${takeoverSeconds.toFixed(1)} s after the kill the next submission is acknowledged`)
  await becomes(second, 'owner', COORDINATOR_MS)

  first.start()
  await becomes(first, 'follower, level', COORDINATOR_MS)
  say('c1 is back with an empty folder: it has got everything from c2, and follows now')

  await submitter.done
  await look((stats) => stats.pending_tasks + stats.processing_tasks === 0)
  await second.order('verify')
  say('all work has ended, and the journal is sound\n')
  const { completed, runTwice, problems } = await submitter.outcomes()
  for (const problem of problems) screen.say(`WRONG: ${problem}`)
  const all = submitter.acknowledged.length
  if (all !== TASKS) screen.say(`WRONG: ${all} of ${TASKS} tasks were acknowledged`)
  screen.say(
    `${all} tasks acknowledged, ${completed} completed, ${all - completed} lost or failed; nobody was served for ${takeoverSeconds.toFixed(1)} s; ${runTwice} tasks were run twice.`,
  )
  return problems.length === 0 && all === TASKS && completed === all
}

const counters = (s: Stats): string =>
  `tasks    ${bar(s.completed_tasks, Math.max(TASKS, s.total_tasks))} completed, ${s.pending_tasks} wait, ${s.processing_tasks} at work`
