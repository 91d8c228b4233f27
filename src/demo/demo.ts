import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { chainDefaults, createCoordinator, inferenceDefaults } from '../coordinator.js'
import { silentLog } from '../lib/log.js'
import { createRestClient, type RestClient } from '../lib/rest-client.js'
import { startBlockClock } from './block-clock.js'
import { createFakeChain } from './chain/fake-chain.js'
import { playInFolder, type OnEnd } from './in-folder.js'
import { askLast } from './last-question.js'
import { runLegacyNode } from './legacy-node.js'
import { startModelServer } from './model-server.js'
import { startNode, type NodeProcess } from './node-process.js'
import { payments, paymentProblems, paymentSummary, reorganise, type Reorganisation } from './payments.js'
import { planTasks } from './plan.js'
import { createScreen } from './screen.js'
import { createWallet, NETWORK } from './wallet.js'
import {
  counterLines,
  hasEnded,
  isAtWork,
  liveLines,
  look,
  problems,
  results,
  summaryLines,
  withResult,
} from './watch.js'

/** The longest the demo takes, ms. */
const LIMIT_MS = 90_000
const TASKS = 60
/** What stands before what is said: the time. */
const INDENT = 9

/**
 * The whole service in a minute: a coordinator, nodes in session, a node that polls, tasks, a node that dies,
 * and a chain that pays for all of it and forks once.
 * @returns whether every task ended as it should, and every result is paid
 */
export const runDemo = (): Promise<boolean> => playInFolder('inference-demo-', play)

async function play(dir: string, onEnd: OnEnd): Promise<boolean> {
  const screen = createScreen(process.stdout)
  const started = Date.now()
  const say = (line: string): void =>
    screen.say(`${((Date.now() - started) / 1000).toFixed(1).padStart(5)} s  ${line}`, INDENT)

  const plan = planTasks(TASKS)
  const chain = await createFakeChain({ network: NETWORK, balances: plan.balances, repeatEvery: 100 })
  onEnd(() => chain.close())

  const coordinator = createCoordinator({
    // Short times, so that what takes a minute in earnest is seen in seconds here.
    settings: inferenceDefaults({
      database_path: join(dir, 'inference.db'),
      api_port: 0,
      heartbeat_interval: 1,
      reconnect_grace: 2,
      shutdown_timeout: 2,
    }),
    signer: { stacks_private_key: createWallet('service').privateKey, endpoint: chain.url, network: NETWORK },
    chain: chainDefaults({
      event_observer: '127.0.0.1:0',
      confirmations: 3,
      poll_interval: 0.5,
      // The last question is for free.
      require_signed_tx: false,
    }),
    log: silentLog(),
  })
  onEnd(() => coordinator.stop())
  const { url, observer } = await coordinator.listen()
  if (observer !== null) chain.observe(`http://${observer.host}:${observer.port}`)
  const clock = startBlockClock(chain)
  onEnd(clock.stop)
  const rest = createRestClient(url)
  say(`the coordinator serves on ${url}, its database is ${join(dir, 'inference.db')}`)
  say(`a chain of its own mines on ${chain.url}, and announces its blocks`)

  const modelServer = await startModelServer(['llama3:8b', 'gemma2:9b', 'qwen2:7b'])
  onEnd(() => modelServer.close())
  say(`a model server streams on ${modelServer.url}`)

  const nodes = [
    startNode(dir, 'gpu-ollama', url, ['llama-3-8b', 'gemma-2-9b', 'qwen-2-7b'], 4, [
      'type = "openai"',
      `base_url = "${modelServer.url}"`,
      '[backend.models]',
      '"llama-3-8b" = "llama3:8b"',
      '"gemma-2-9b" = "gemma2:9b"',
      '"qwen-2-7b" = "qwen2:7b"',
    ]),
    startNode(dir, 'gpu-doomed', url, ['llama', 'mistral', 'deepseek', 'gemma'], 3, ['type = "echo"', 'delay = 0.4']),
    startNode(dir, 'gpu-steady', url, ['mistral', 'deepseek'], 2, ['type = "echo"', 'delay = 0.15']),
  ]
  onEnd(async () => void (await Promise.all(nodes.map((n) => n.leave()))))
  const legacy = new AbortController()
  const legacyNode = runLegacyNode(
    rest,
    'old-poller',
    createWallet('old-poller').publicKey,
    ['llama', 'mistral'],
    legacy.signal,
  )
  // What it fails with is heard where it is awaited, at the end.
  legacyNode.catch(() => undefined)
  onEnd(async () => {
    legacy.abort()
    await legacyNode
  })
  await nodesOnline(rest, nodes)
  say('three nodes are in session, and one polls over REST as nodes always did')

  for (const { ends: _, ...task } of plan.tasks) await rest.post('/api/v1/tasks/submit', task, v.unknown())
  say(
    `${plan.tasks.length} paid tasks of ${new Set(plan.tasks.map((t) => t.model_name)).size} models are submitted, each with its signed transaction; those with higher fees go first`,
  )

  const doomed = nodes[1]
  let killed = false
  /** Ends with what it was, or with why there was none. */
  let fork: Promise<Reorganisation | string> | null = null
  const over = new AbortController()
  onEnd(() => over.abort())
  for (let last = ''; ;) {
    const view = await look(rest)
    screen.show(liveLines(view))
    const counters = counterLines(view.stats)
    if (!process.stdout.isTTY && counters.join() !== last) for (const line of counters) say(line)
    last = counters.join()
    const held = view.nodes.find((n) => n.node_id === doomed?.id)?.in_progress_tasks ?? 0
    if (!killed && doomed !== undefined && withResult(view.stats) >= TASKS / 4 && held > 0) {
      // It stands still first: what it has finished by then arrives, and what it has begun is really lost with it.
      doomed.child.kill('SIGSTOP')
      await sleep(200)
      killed = await isAtWork(rest, doomed.id)
      doomed.child.kill(killed ? 'SIGKILL' : 'SIGCONT')
      if (killed)
        say(`${doomed.id} is killed in the middle of ${held} tasks: after its grace of 2 s they go to other nodes`)
    }
    if (fork === null && withResult(view.stats) >= TASKS / 2)
      fork = reorganise({ chain, clock, rest, plan: plan.tasks, say, signal: over.signal }).catch(
        (error: unknown) => `there was no reorganisation: ${error instanceof Error ? error.message : String(error)}`,
      )
    if (hasEnded(view.stats)) break
    if (Date.now() - started > LIMIT_MS) {
      say(`not all tasks ended, and were paid, within ${LIMIT_MS / 1000} s`)
      for (const n of nodes) screen.say(`--- log of ${n.id}\n${n.tail()}`)
      return false
    }
    await sleep(process.stdout.isTTY ? 100 : 500)
  }

  const survived = (await fork) ?? 'there was no reorganisation'
  const ended = await results(rest, plan.tasks)
  const paid = await payments(rest, chain, plan.tasks)
  say('every task has ended, and nothing more becomes of any payment\n')
  for (const line of summaryLines(ended, paid, doomed?.id ?? '')) screen.say(line)
  const wrong = [...problems(ended), ...paymentProblems(paid)]
  if (typeof survived === 'string') wrong.push(survived)
  if (!killed) wrong.push('the node that was to be killed never worked')
  if (!ended.some((t) => t.result?.inference_node_id === 'old-poller')) wrong.push('the polling node got nothing')
  if (!ended.some((t) => t.status === 'submitted' && t.attempts > 1))
    wrong.push('no task of the killed node was taken over')
  screen.say('')
  for (const problem of wrong) screen.say(`WRONG: ${problem}`)
  if (wrong.length === 0 && typeof survived !== 'string') {
    screen.say(
      `${ended.filter((t) => t.status === 'submitted').length} of ${ended.length} tasks are completed, each with one result; 1 asked for more time than it allowed and is timeout, as it should be.`,
    )
    screen.say(paymentSummary(paid, survived))
  }
  screen.say('')
  const user = createWallet('last user').address
  const lastProblem = await askLast({ url, user, say, onText: (piece) => void process.stdout.write(piece) }).catch(
    (error: unknown) => `the last question has no answer: ${error instanceof Error ? error.message : String(error)}`,
  )
  if (lastProblem !== null) screen.say(`WRONG: ${lastProblem}`)
  return wrong.length === 0 && lastProblem === null
}

async function nodesOnline(rest: RestClient, nodes: readonly NodeProcess[]): Promise<void> {
  for (const end = Date.now() + 20_000; ; await sleep(50)) {
    const view = await look(rest)
    if (nodes.every((n) => view.nodes.some((x) => x.node_id === n.id && x.status === 'online'))) return
    const gone = nodes.find((n) => n.child.exitCode !== null)
    if (gone !== undefined || Date.now() > end)
      throw new Error(`${gone?.id ?? 'a node'} did not come online:\n${(gone ?? nodes[0])?.tail()}`)
  }
}
