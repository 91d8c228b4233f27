import { serviceRoutes as routes } from '../contract/service-routes.js'
import { toSeconds } from '../lib/clock.js'
import { done, refuse } from '../lib/result.js'
import { unlessBehind } from '../lib/unless-behind.js'
import { fail, ok, refused } from './answers.js'
import type { DefaultsView, HealthView } from '../wire/service-answers.js'
import { clusterWarning, LOG_BEHIND } from './cluster-health.js'
import type { RouteParts } from './route-parts.js'
import type { Exchange } from './exchange.js'
import type { Routes } from './routes.js'
import { addressOf } from './openai/request.js'
import { statsView } from './views.js'

/** Who is told what an operator should look at. */
const TOLD: ReadonlySet<string> = new Set(['open', 'viewer', 'operator', 'admin'])
const isTold = ({ by }: Exchange): boolean => TOLD.has(by.principal.role)

/** The service itself: counters, its key and its health. */
export function serviceRoutes(
  { get, answer }: Routes,
  { ask, wall, opener, openai, cluster, warning = () => null }: RouteParts,
): void {
  get(routes.getStats, async (c) => {
    const stats = await ask(c.env, { op: 'stats' })
    return stats.ok ? ok(c, statsView(stats.value)) : refused(c, stats)
  })

  /** What clients encrypt for. */
  get(routes.getEncryptionKey, (c) =>
    answer(
      c,
      opener == null
        ? refuse('not_found', 'this service has no key that texts could be encrypted for; send plain text')
        : done({ public_key: opener.publicKey, signer_address: opener.address }),
    ),
  )

  get(routes.getDefaults, (c) => {
    const view: DefaultsView = {
      user_address: addressOf(c.env.by, openai),
      infer_fee: openai.inferFee,
      max_infer_time: openai.maxInferTime,
    }
    return ok(c, view)
  })

  get(routes.getHealth, async (c) => {
    const asked = () => ask(c.env, { op: 'health' })
    const health = cluster === undefined ? await asked() : ((await unlessBehind(asked, cluster.behind)) ?? LOG_BEHIND)
    const told = isTold(c.env)
    const report = told ? cluster?.report() : undefined
    const view: HealthView = {
      status: health.ok ? 'healthy' : 'unhealthy',
      timestamp: toSeconds(wall()),
      ...(report === undefined ? {} : { cluster: report }),
    }
    if (!health.ok) return fail(c, health, { data: view })
    const warnings = told ? [health.value.warning, warning(), clusterWarning(report)].filter((w) => w !== null) : []
    return ok(c, warnings.length === 0 ? view : { ...view, warning: warnings.join('. ') })
  })
}
