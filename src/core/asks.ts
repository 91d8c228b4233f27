import { toSeconds } from '../lib/clock.js'
import { done, type Outcome } from '../lib/result.js'
import { UNKNOWN, modelKey } from '../rules/models.js'
import type { AskOperation, AskResults, ServedModel, Waiting } from './ask-operations.js'
import type { Context } from './context.js'
import type { DrainRates } from './tasks/drain-rates.js'
import { createModelHints } from './tasks/model-hints.js'

/** A request is joined to the task of an equal one that was made in this time, seconds. */
const JOIN_SECONDS = 600
/** How long somebody is asked to wait at least and at most before he asks again, seconds. */
const WAIT_SECONDS = { least: 1, most: 60 }
/** The list of models is made again after this, ms. */
const LIST_MS = 1000
/** The most models that are listed. */
const MAX_LISTED = 10_000

export interface AskParts {
  drainRates: DrainRates
  waiting(taskId: string): Waiting | null
  /** Whether it was cancelled. */
  isCancelled(taskId: string): boolean
}

const table: Record<AskOperation['op'], true> = {
  models: true,
  modelServed: true,
  joinable: true,
  queuePlace: true,
  queueTime: true,
  nodeKey: true,
  taskUser: true,
}
const names: ReadonlySet<string> = new Set(Object.keys(table))

export function createAsks(ctx: Context, { drainRates, waiting, isCancelled }: AskParts) {
  const { store, registry, models } = ctx
  const startedAt = ctx.now
  const hints = createModelHints(ctx)
  const seen = new Map<string, number>()
  let list: { at: number; models: ServedModel[] } | null = null
  const nobody: ReadonlySet<string> = new Set()

  /** After a start the nodes are on their way back: what they have served counts. */
  const inGrace = (): boolean => ctx.now - startedAt < ctx.options.restartGrace

  const served = (): ServedModel[] => {
    if (list !== null && ctx.now - list.at < LIST_MS) return list.models
    const found = new Map<string, string>()
    for (const node of registry.nodes.values()) {
      if (found.size >= MAX_LISTED) break
      if (inGrace() || registry.isServing(node, ctx.now))
        for (const name of node.models) if (!found.has(modelKey(name))) found.set(modelKey(name), name)
    }
    const now = toSeconds(ctx.wall)
    for (const key of seen.keys()) if (!found.has(key)) seen.delete(key)
    const listed = [...found].map(([key, name]) => {
      const created = seen.get(key) ?? now
      seen.set(key, created)
      return { name, created }
    })
    list = { at: ctx.now, models: listed.sort((a, b) => (a.name < b.name ? -1 : 1)) }
    return list.models
  }

  const isServed = (model: string, family: string): boolean =>
    registry.anotherServes({ model_name: model, model_type: family }, nobody, ctx.now) ||
    (inGrace() && registry.isServed(models.lanesOfTask(model, family)))

  const queueTime = (model: string): number => {
    const key = modelKey(model)
    const family = models.familyOf(model)
    const queue = { task_id: '', queue_rank: -1, model_type: family, model_key: key, model_name: model }
    const waits = store.history.ahead({ ...queue, infer_fee: 0, paid_nonce: null, needs: 0 }, family !== UNKNOWN)
    const rate = drainRates.rate(key, ctx.now)
    const seconds = rate === 0 ? WAIT_SECONDS.most : Math.ceil(waits / rate)
    return Math.min(WAIT_SECONDS.most, Math.max(WAIT_SECONDS.least, waits === 0 ? WAIT_SECONDS.least : seconds))
  }

  return {
    concerns: (o: { op: string }): o is AskOperation => names.has(o.op),
    run(o: AskOperation): Outcome<AskResults[keyof AskResults]> {
      switch (o.op) {
        case 'models':
          return done({ models: served() })
        case 'modelServed': {
          const family = models.familyOf(o.model)
          const isThere = isServed(o.model, family)
          const near = isThere ? [] : (hints(o.model, family)?.flatMap((hint) => hint.did_you_mean) ?? [])
          return done({ served: isThere, near })
        }
        case 'joinable': {
          const taskId = store.asked.newestOf(o.key, toSeconds(ctx.wall) - JOIN_SECONDS)
          return done({ task_id: taskId === undefined || isCancelled(taskId) ? null : taskId })
        }
        case 'queuePlace':
          return done(waiting(o.task_id))
        case 'nodeKey':
          return done({ public_key: registry.nodes.get(o.node_id)?.row.public_key ?? null })
        case 'taskUser':
          return done({ user_address: store.tasks.head(o.task_id)?.user_address ?? null })
        case 'queueTime':
          return done({ seconds: queueTime(o.model) })
      }
    },
  }
}
