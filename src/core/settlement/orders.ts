import { done, never, refuse, type Outcome, type Refusal } from '../../lib/result.js'
import type { Allowed } from '../access/caller.js'
import type { Cover } from './cover.js'
import type { SettlementDesk } from './desk.js'
import type { SettlementRequest, SettlementResults, SettlementWork } from './reports.js'

/** Where the chain is not looked at. */
export const NO_CHAIN: Refusal = refuse(
  'not_found',
  'this service does not look at the chain: its configuration has no section [chain]',
)

/** What each operation about settlements does. @param parts.desk null where the chain is not looked at */
export function createSettlementOrders({ desk, cover }: { desk: SettlementDesk | null; cover: Cover }) {
  const withDesk = <T>(then: (desk: SettlementDesk) => Outcome<T>): Outcome<T> =>
    desk === null ? NO_CHAIN : then(desk)
  return {
    run(o: SettlementRequest | SettlementWork, allowed: Allowed): Outcome<SettlementResults[keyof SettlementResults]> {
      switch (o.op) {
        case 'settlements':
          return withDesk((d) => d.list(o))
        case 'settlement':
          return withDesk((d) => d.get(o.task_id))
        case 'settlementRetry':
          return withDesk((d) => d.retry(o.task_id, allowed))
        case 'taskOfTx':
          return withDesk((d) => d.ofTx(o.txid))
        case 'settlementsDue':
          return withDesk((d) => d.due(o.limit))
        case 'settlementTexts':
          return withDesk((d) => d.texts(o.task_id))
        case 'settlementReports':
          return withDesk((d) => d.reports(o))
        case 'chainTip':
          return withDesk((d) => d.tip(o))
        case 'chainBlock':
          return withDesk((d) => d.block(o))
        case 'chainGap':
          return withDesk((d) => d.gap())
        case 'stakesDue':
          return done({ addresses: cover.due() })
        case 'stakes':
          cover.seen(o.stakes, o.burn_height)
          return done(null)
        case 'chainDropped':
          return withDesk((d) => d.dropped(o.txids))
        default:
          return never(o)
      }
    },
  }
}
