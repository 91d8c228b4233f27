import { done, never, type Outcome } from '../../lib/result.js'
import type { Allowed } from '../access/caller.js'
import type { Operation } from '../operations.js'
import type { Cover } from './cover.js'
import type { SettlementDesk } from './desk.js'
import type { Delegations } from './delegations.js'
import { NO_CHAIN, type SettlementRequest, type SettlementResults, type SettlementWork } from './reports.js'

export interface SettlementOrderParts {
  /** These are null where the chain is not looked at. */
  desk: SettlementDesk | null
  delegations: Delegations | null
  cover: Cover
}

const table: Record<(SettlementRequest | SettlementWork)['op'], true> = {
  settlements: true,
  settlement: true,
  settlementRetry: true,
  taskOfTx: true,
  delegate: true,
  delegations: true,
  undelegate: true,
  settlementsDue: true,
  settlementTexts: true,
  settlementReports: true,
  chainTip: true,
  chainBlock: true,
  chainGap: true,
  stakesDue: true,
  stakes: true,
  chainDropped: true,
}
const names: ReadonlySet<string> = new Set(Object.keys(table))

/** What each operation about settlements does. */
export function createSettlementOrders({ desk, delegations, cover }: SettlementOrderParts) {
  const withDesk = <T>(then: (desk: SettlementDesk) => Outcome<T>): Outcome<T> =>
    desk === null ? NO_CHAIN : then(desk)
  /** What goes over many of them, or changes one, is done when each has its row. */
  const withRows = <T>(then: (desk: SettlementDesk) => Outcome<T>): Outcome<T> =>
    withDesk((d) => {
      d.openAll()
      return then(d)
    })
  const withDelegations = <T>(then: (of: Delegations) => Outcome<T>): Outcome<T> =>
    delegations === null ? NO_CHAIN : then(delegations)
  const run = (
    o: SettlementRequest | SettlementWork,
    allowed: Allowed,
  ): Outcome<SettlementResults[keyof SettlementResults]> => {
    switch (o.op) {
      case 'settlements':
        return withRows((d) => d.list(o))
      case 'settlement':
        return withDesk((d) => d.get(o.task_id))
      case 'settlementRetry':
        return withRows((d) => d.retry(o.task_id, allowed))
      case 'taskOfTx':
        return withDesk((d) => d.ofTx(o.txid))
      case 'delegate':
        return withDelegations((d) => d.add(o.delegation, allowed))
      case 'delegations':
        return withDelegations((d) => d.list(o.after, o.limit))
      case 'undelegate':
        return withDelegations((d) => d.revoke(o.node_key, allowed))
      case 'settlementsDue':
        return withRows((d) => d.due(o.limit))
      case 'settlementTexts':
        return withDesk((d) => d.texts(o.task_id))
      case 'settlementReports':
        return withRows((d) => d.reports(o))
      case 'chainTip':
        return withRows((d) => d.tip(o))
      case 'chainBlock':
        return withRows((d) => d.block(o))
      case 'chainGap':
        return withRows((d) => d.gap())
      case 'stakesDue':
        return done({ addresses: cover.due() })
      case 'stakes':
        cover.seen(o.stakes, o.burn_height)
        return done(null)
      case 'chainDropped':
        return withRows((d) => d.dropped(o.txids))
      default:
        return never(o)
    }
  }
  return {
    run,
    concerns: (o: Operation): o is SettlementRequest | SettlementWork => names.has(o.op),
  }
}
