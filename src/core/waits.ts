import { UNKNOWN } from '../rules/models.js'
import { isFailure, nodesToAvoid } from '../store/attempts.js'
import { POSITION_LIMIT, type QueuedTask } from '../store/history.js'
import { featuresOf, understands } from '../wire/params.js'
import type { WhyNot } from '../wire/task-answers.js'
import type { Probation } from './access/probation.js'
import type { Waiting } from './ask-operations.js'
import type { Context } from './context.js'
import { inCooldown, type Node } from './nodes/node.js'
import type { Cover } from './settlement/cover.js'
import { createModelHints } from './tasks/model-hints.js'

/** So many nodes are said of a task that waits, and so many are looked at for that. */
const MAX_NODES = 50
const MAX_LOOKED_AT = 5000

/** The nearest to a task first. */
const nearest: readonly WhyNot[] = [
  'next',
  'rejected',
  'busy',
  'failed_before',
  'probation',
  'not_covered',
  'needs_feature',
  'cooldown',
  'maintenance',
  'drained',
  'offline',
]

const isFull = (n: Node): boolean => n.held.size >= n.row.max_concurrent_tasks

/** Why tasks wait. */
export function createWaits(ctx: Context, { cover, probation }: { cover: Cover; probation: Probation }) {
  const { store, registry } = ctx
  const hints = createModelHints(ctx)

  /** Why a pending task is not worked on yet. */
  const waiting = (task: QueuedTask): Waiting => {
    const nodes = registry.nodesOf(ctx.models.lanesOfTask(task.model_name, task.model_type))
    const serving = nodes.filter((n) => registry.isServing(n, ctx.now))
    const ahead = store.history.ahead(task, task.model_type !== UNKNOWN)
    const position = ahead >= POSITION_LIMIT ? `${POSITION_LIMIT}+` : ahead + 1
    const avoid = nodesToAvoid(store.attempts.ofTask(task.task_id).filter((a) => registry.givenTo(a) !== undefined))
    const because = (reason: Waiting['reason'], explanation: string): Waiting => ({ reason, explanation, position })
    if (nodes.length === 0) {
      const near = hints(task.model_name, task.model_type)?.flatMap((hint) => hint.did_you_mean) ?? []
      const meant = near.length === 0 ? '' : `; perhaps ${near.join(' or ')} was meant`
      return because('no_node_for_model', `no registered node serves ${task.model_name}${meant}`)
    }
    if (serving.length === 0) return because('no_node_online', whyNotOnline(nodes, task.model_name))
    if (serving.every(isFull))
      return because(
        'all_busy',
        serving.length === 1
          ? `the one online node for ${task.model_name} is busy`
          : `all ${serving.length} online nodes for ${task.model_name} are busy`,
      )
    const able = serving.filter((n) => understands(n.features, task.needs))
    if (able.length === 0)
      return because(
        'needs_feature',
        `it needs ${featuresOf(task.needs).join(', ')}, which none of the ${serving.length} online nodes for ${task.model_name} understands`,
      )
    const covered = serving.filter((n) => cover.allows(n, task))
    if (covered.length === 0) {
      const why = serving.map((n) => cover.of(n).why).find((w) => w !== null)
      return because(
        'not_covered',
        `none of the ${serving.length} online nodes for ${task.model_name} may have a task with this infer_fee now: ${why ?? 'their stakes do not cover it beside what they hold'}`,
      )
    }
    // Where all of them have failed it, any of them may get it again.
    const others = serving.filter((n) => !avoid.has(n.row.node_id))
    if (others.length > 0 && others.every(isFull))
      return because(
        'waits_for_another_node',
        'it waits for a node that has not failed it yet, and those that have not are busy',
      )
    return because(
      'next',
      'a node that polls takes it with its next call; a node that has just rejected or failed it gets it again after a pause',
    )
  }

  const whyNotOnline = (nodes: readonly Node[], model: string): string => {
    const isPaused = (n: Node): boolean => registry.statusOf(n, ctx.now) === 'maintenance'
    const left = nodes.filter((n) => n.row.drained === 0)
    const drained = nodes.length - left.length
    const paused = left.filter(isPaused)
    const coolingDown = left.filter((n) => !isPaused(n) && inCooldown(n)).length
    const reason = paused.find((n) => n.session?.reason != null)?.session?.reason ?? null
    const why = [
      drained > 0 ? `${drained} drained by the operator` : '',
      paused.length > 0 ? `${paused.length} in maintenance${reason === null ? '' : `: ${reason}`}` : '',
      coolingDown > 0 ? `${coolingDown} in cooldown after failures in a row` : '',
    ].filter((w) => w !== '')
    return `${nodes.length} registered ${nodes.length === 1 ? 'node serves' : 'nodes serve'} ${model}, and none is online${why.length > 0 ? ` (${why.join(', ')})` : ''}`
  }

  /** Why each node that serves the model of a task does not have it, those first that are nearest to it. */
  const nodes = (task: QueuedTask): { node_id: string; why: WhyNot }[] => {
    const serving = registry.nodesOf(ctx.models.lanesOfTask(task.model_name, task.model_type)).slice(0, MAX_LOOKED_AT)
    const past = store.attempts.ofTask(task.task_id).filter((a) => registry.givenTo(a) !== undefined)
    const avoid = nodesToAvoid(past)
    const another = avoid.size > 0 && registry.anotherServes(task, avoid, ctx.now)
    const whyNot = (node: Node): WhyNot => {
      const status = registry.statusOf(node, ctx.now)
      if (status === 'offline') return 'offline'
      if (node.row.drained === 1) return 'drained'
      if (status === 'maintenance') return 'maintenance'
      if (inCooldown(node)) return 'cooldown'
      if (!understands(node.features, task.needs)) return 'needs_feature'
      if (!probation.allows(node, task)) return 'probation'
      if (!cover.allows(node, task)) return 'not_covered'
      const own = past.filter((a) => a.node_id === node.row.node_id)
      if (another && own.some(isFailure)) return 'failed_before'
      if (status === 'busy' || isFull(node)) return 'busy'
      return own.some((a) => a.end === 'rejected') ? 'rejected' : 'next'
    }
    return serving
      .map((node) => ({ node_id: node.row.node_id, why: whyNot(node) }))
      .sort((a, b) => nearest.indexOf(a.why) - nearest.indexOf(b.why) || (a.node_id < b.node_id ? -1 : 1))
      .slice(0, MAX_NODES)
  }

  return { waiting, nodes }
}
