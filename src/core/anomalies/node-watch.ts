import { createHash } from 'node:crypto'
import type { AttemptEnd } from '../../rules/lifecycle.js'
import type { AlertKind } from './alerts.js'
import type { AlertThresholds } from './settings.js'
import { createRecentlyUsed } from '../../lib/recently-used.js'
import { createWindow, type Window } from './window.js'

const MINUTE_MS = 60_000
const SHORT_MS = 10 * MINUTE_MS
const HOUR_MS = 60 * MINUTE_MS
const CONCENTRATION_MS = 15 * MINUTE_MS
/** The newest answers of a node that are looked at for empty ones, and for equal ones. */
const NEWEST = 20
const NEWEST_OUTPUTS = 256
/** Equal answers below this length say nothing: "yes" fits many prompts. UTF-16 units. */
const MIN_TELLING_LENGTH = 32
/** Fewer answers than this tell nothing of a share. */
const MIN_ANSWERS = 20
/** How much of a text is compared, UTF-16 units: to read megabytes of each answer would cost more than the answer. */
const HASHED_LENGTH = 4096
/** Bytes of an answer that make about a token. */
const CHARS_A_TOKEN = 4
/** Nodes, models and networks that are watched at once. */
const MAX_SUBJECTS = 20_000
/** Prompts of attempts that run. */
const MAX_PROMPTS = 100_000

/** What becomes of a node that an alert is about; null where nothing does. */
export type NodeAct = 'probation' | 'drain' | 'one_slot'
export type Raise = (kind: AlertKind, subject: string, message: string, act?: { nodeId: string; act: NodeAct }) => void

/** An attempt that has ended, as a node's behaviour shows in it. */
export interface EndedAttempt {
  node_id: string
  model: string
  end: AttemptEnd
  /** Whether it was begun. */
  accepted: boolean
  /** Whether the end is the node's own fault. */
  blamed: boolean
}
/** An answer that was taken. */
export interface Answer {
  task_id: string
  node_id: string
  /** The network of the node's address; empty where it is not known. */
  network: string
  /** From its acceptance to its end. */
  ms: number
  output: string
  completion_tokens: number | null
  /** Whether another node serves the model too. */
  others_serve: boolean
}

interface Rates {
  short: { all: Window; failed: Window }
  hour: { all: Window; failed: Window }
}
const createRates = (): Rates => ({
  short: { all: createWindow(SHORT_MS), failed: createWindow(SHORT_MS) },
  hour: { all: createWindow(HOUR_MS), failed: createWindow(HOUR_MS) },
})

const createNode = () => ({
  rates: createRates(),
  accepted: createWindow(HOUR_MS),
  hoarded: createWindow(HOUR_MS),
  quick: createWindow(HOUR_MS),
  /** Whether each of the newest answers was empty. */
  empty: [] as boolean[],
  outputs: [] as { output: string; prompt: string }[],
})

const hash = (text: string): string =>
  createHash('sha256')
    .update(`${text.length} ${text.slice(0, HASHED_LENGTH)}`)
    .digest('base64')
    .slice(0, 16)

/** Watches how nodes behave. Times are ms of the service clock. */
export function createNodeWatch(limits: AlertThresholds, raise: Raise) {
  const nodes = createRecentlyUsed(MAX_SUBJECTS, createNode)
  const models = createRecentlyUsed(MAX_SUBJECTS, createRates)
  const whole = createRates()
  const allResults = createWindow(CONCENTRATION_MS)
  const results = createRecentlyUsed(MAX_SUBJECTS, () => createWindow(CONCENTRATION_MS))
  const prompts = createRecentlyUsed(MAX_PROMPTS, () => ({ hash: '' }))

  /** Whether failures are far above the usual, or null; counts the attempt. */
  const failureRate = (rates: Rates, failed: boolean, now: number): string | null => {
    for (const window of [rates.short, rates.hour]) {
      window.all.add(now)
      if (failed) window.failed.add(now)
    }
    if (!failed) return null
    const [recent, usual] = [rates.short, rates.hour].map(({ all, failed: f }) => ({
      all: all.sum(now),
      failed: f.sum(now),
    }))
    if (recent === undefined || usual === undefined || recent.all < limits.failureAttempts) return null
    // The usual is what came before: within the newest minutes it would hide itself.
    const before = { all: usual.all - recent.all, failed: usual.failed - recent.failed }
    if (before.all < limits.failureAttempts) return null
    const rate = recent.failed / recent.all
    const usualRate = Math.max(before.failed / before.all, 1 / before.all)
    return rate > limits.failureFactor * usualRate
      ? `${percent(rate)} of its last ${recent.all} attempts failed, usually ${percent(before.failed / before.all)}`
      : null
  }

  const speed = (
    node: ReturnType<typeof createNode>,
    { node_id, ms, output, completion_tokens }: Answer,
    now: number,
  ): void => {
    if (output === '') return
    const tokens = completion_tokens ?? output.length / CHARS_A_TOKEN
    const perSecond = tokens / (Math.max(ms, 1) / 1000)
    const tooFast = perSecond > limits.maxTokensPerSecond
    if (!tooFast && ms >= limits.minAnswerMs) return
    node.quick.add(now)
    if (node.quick.sum(now) < limits.quickAnswers) return
    raise(
      'impossible_speed',
      node_id,
      `${node.quick.sum(now)} answers in an hour came faster than a model makes them, the last in ${Math.round(ms)} ms`,
      { nodeId: node_id, act: 'probation' },
    )
  }

  const emptiness = (node: ReturnType<typeof createNode>, { node_id, output }: Answer): void => {
    node.empty.push(output.trim() === '')
    if (node.empty.length > NEWEST) node.empty.shift()
    const empty = node.empty.filter(Boolean).length
    if (node.empty.length < NEWEST || empty / NEWEST < limits.emptyShare) return
    raise('empty_outputs', node_id, `${empty} of its last ${NEWEST} answers were empty`, {
      nodeId: node_id,
      act: 'probation',
    })
  }

  const sameness = (node: ReturnType<typeof createNode>, { node_id, task_id, output }: Answer): void => {
    const prompt = prompts.peek(task_id)?.hash ?? ''
    if (prompt === '' || output.length < MIN_TELLING_LENGTH) return
    const latest = { output: hash(output), prompt }
    node.outputs.push(latest)
    if (node.outputs.length > NEWEST_OUTPUTS) node.outputs.shift()
    const same = node.outputs.filter((o) => o.output === latest.output)
    const others = new Set(same.map((o) => o.prompt)).size
    if (others < 2 || node.outputs.length < MIN_ANSWERS || same.length / node.outputs.length <= limits.sameOutputShare)
      return
    raise(
      'same_output',
      node_id,
      `${same.length} of its last ${node.outputs.length} answers are the same text, to ${others} different prompts`,
      {
        nodeId: node_id,
        act: 'drain',
      },
    )
  }

  const concentration = ({ node_id, network, others_serve }: Answer, now: number): void => {
    allResults.add(now)
    const total = allResults.sum(now)
    for (const subject of [node_id, network]) {
      if (subject === '') continue
      const own = results.of(subject)
      own.add(now)
      if (!others_serve || total < MIN_ANSWERS || own.sum(now) / total <= limits.concentration) continue
      raise(
        'concentration',
        subject,
        `${percent(own.sum(now) / total)} of all results of the last 15 minutes, where others serve too`,
      )
    }
  }

  return {
    /** The prompt of a task that is given to a node: its answers are compared by it. */
    assigned(taskId: string, prompt: string): void {
      prompts.of(taskId).hash = hash(prompt)
    },

    ended({ node_id, model, end, accepted, blamed }: EndedAttempt, now: number): void {
      const node = nodes.of(node_id)
      const ofNode = failureRate(node.rates, blamed, now)
      if (ofNode !== null) raise('failure_rate', node_id, ofNode, { nodeId: node_id, act: 'probation' })
      const ofModel = failureRate(models.of(model), blamed, now)
      if (ofModel !== null) raise('failure_rate', model, `model: ${ofModel}`)
      const ofAll = failureRate(whole, blamed, now)
      if (ofAll !== null) raise('failure_rate', '', `all nodes: ${ofAll}`)
      if (!accepted) return
      node.accepted.add(now)
      if (end !== 'timeout' && !(end === 'lost' && blamed)) return
      node.hoarded.add(now)
      const hoarded = node.hoarded.sum(now)
      const share = hoarded / node.accepted.sum(now)
      if (hoarded <= limits.hoardedAttempts || share <= limits.hoardedShare) return
      raise(
        'hoarding',
        node_id,
        `${hoarded} of its ${node.accepted.sum(now)} tasks of the last hour were accepted and never done`,
        {
          nodeId: node_id,
          act: 'one_slot',
        },
      )
    },

    answered(answer: Answer, now: number): void {
      const node = nodes.of(answer.node_id)
      speed(node, answer, now)
      emptiness(node, answer)
      sameness(node, answer)
      concentration(answer, now)
    },
  }
}

const percent = (share: number): string => `${Math.round(share * 100)} %`
