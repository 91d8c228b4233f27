import { modelKey } from '../../rules/models.js'
import type { OpenAttempt } from '../../store/attempts.js'
import type { NewTask } from '../../store/tasks.js'
import type { AttemptEnd, Fault } from '../../rules/lifecycle.js'
import { actorOf } from '../../rules/principal.js'
import { createAnomalies } from '../anomalies/index.js'
import type { AlertKind } from '../anomalies/alerts.js'
import type { Context } from '../context.js'
import type { Node } from '../nodes/node.js'
import type { RefusedCalls } from '../operations.js'
import type { Caller } from './caller.js'
import type { Probation } from './probation.js'

/** Of so many tasks one has its prompt and its answer compared with others: to read all would cost a tenth of what a task costs. */
const COMPARED_ONE_OF = 4
/** What an operator should hear of wherever he looks. */
const GRAVE: ReadonlySet<AlertKind> = new Set(['auth_failures', 'server_errors', 'failure_rate'])

/** An attempt that has ended, and the node that it was of. */
export interface Ended {
  node: Node
  attempt: Readonly<OpenAttempt>
  end: AttemptEnd
  fault: Fault | null
}

/** A result that was taken. */
export interface Taken {
  task_id: string
  node: Node
  ms: number
  output: string
  completion_tokens: number | null
}

export type Vigilance = ReturnType<typeof createVigilance>

/**
 * Tells the watch for anomalies what happens, once it is durable, and does what an alert asks for. Only where authentication is
 * on: an open service has no strangers to be wary of.
 */
export function createVigilance(ctx: Context, probation: Probation) {
  const { registry } = ctx
  const anomalies = createAnomalies(
    ctx.options.alerts,
    () => ctx.wall,
    ({ kind, subject, message }) => ctx.log('warn', `anomaly.${kind}`, { subject, message }),
  )
  let assigned = 0
  /** The network that a node came from, and the model of an attempt. */
  const networks = new WeakMap<Node, string>()
  const models = new WeakMap<Readonly<OpenAttempt>, string>()

  const later = (tell: (now: number) => void): void => {
    if (!ctx.access.isOn()) return
    const { now } = ctx
    ctx.afterCommit.push(() => tell(now))
  }
  /** The fees of a turn's submissions, told together: each by itself would cost more than what is looked at. */
  let paid: { model: string; owner: string; fees: number[] }[] = []
  ctx.undo.onRollback(() => {
    paid = []
  })
  const tellSubmissions = (now: number): void => {
    const byOwner = new Map<string, number>()
    for (const { model, owner, fees } of paid) {
      anomalies.paid(model, fees, owner)
      if (owner !== '') byOwner.set(owner, (byOwner.get(owner) ?? 0) + fees.length)
    }
    for (const [owner, count] of byOwner) anomalies.submitted(owner, count, now)
    paid = []
  }
  const act = (node: Node, what: 'probation' | 'drain' | 'one_slot'): void => {
    if (what === 'probation') probation.again(node)
    else if (what === 'one_slot') probation.oneSlot(node)
    else registry.setDrained(node, true)
  }

  return {
    assigned(attempt: Readonly<OpenAttempt>, task: Pick<NewTask, 'task_id' | 'model_name' | 'user_input'>): void {
      if (!ctx.access.isOn()) return
      models.set(attempt, modelKey(task.model_name))
      if (++assigned % COMPARED_ONE_OF === 0) later(() => anomalies.assigned(task.task_id, task.user_input))
    },
    ended({ node, attempt, end, fault }: Ended): void {
      const { node_id } = node.row
      const model = models.get(attempt) ?? ''
      const accepted = attempt.accepted_ms !== null
      later((now) => anomalies.ended({ node_id, model, end, accepted, blamed: fault === 'node' }, now))
    },
    answered({ task_id, node, ms, output, completion_tokens }: Taken): void {
      const { node_id } = node.row
      const network = networks.get(node) ?? ''
      later((now) =>
        anomalies.answered(
          {
            task_id,
            node_id,
            network,
            ms,
            output,
            completion_tokens,
            others_serve: registry.sessions.size > 1,
          },
          now,
        ),
      )
    },
    submitted(model: string, fee: number, owner: string | null): void {
      if (!ctx.access.isOn()) return
      const newest = paid.at(-1)
      if (newest?.model === model && newest.owner === (owner ?? '')) {
        newest.fees.push(fee)
        return
      }
      if (newest === undefined) later(tellSubmissions)
      paid.push({ model, owner: owner ?? '', fees: [fee] })
    },
    /** @param address it comes from; null where it is not known */
    nodeJoined(node: Node, address: string | null, isNew: boolean): void {
      if (address !== null) networks.set(node, networkOf(address))
      if (isNew) later((now) => anomalies.nodeJoined(now))
    },
    operatorActed({ principal, address }: Caller): void {
      if (principal.role === 'operator' || principal.role === 'admin')
        later((now) => anomalies.operatorActed(actorOf(principal), address ?? '', now))
    },
    refused({ addresses, failures }: RefusedCalls): void {
      later((now) => {
        for (const { address, count } of addresses)
          for (let i = 0; i < count; i++) anomalies.door('auth_failed', address, now)
        for (let i = 0; i < failures; i++) anomalies.door('server_error', '', now)
      })
    },

    alerts: () => anomalies.list(),
    /** What is grave, as a sentence; null while nothing is. */
    warning(): string | null {
      const grave = anomalies.list().find((a) => GRAVE.has(a.kind) && a.subject === '')
      return grave === undefined ? null : `${grave.kind}: ${grave.message}`
    },

    /** Is careful with the nodes that alerts name. */
    tick(): void {
      for (const [node_id, { act: what, why }] of anomalies.takeActs()) {
        const node = registry.nodes.get(node_id)
        if (node === undefined) continue
        act(node, what)
        ctx.log('warn', 'node.restrained', { node_id, act: what, why })
      }
    },
  }
}

/** What is watched as one network: of IPv4 the first three numbers, of IPv6 the first four groups. */
const networkOf = (address: string): string =>
  address.includes(':') ? address.split(':').slice(0, 4).join(':') : address.split('.').slice(0, 3).join('.')
