import { never, type Outcome } from '../../lib/result.js'
import type { Allowed } from '../access/caller.js'
import type { Operation } from '../operations.js'
import type { CallbackDesk } from './desk.js'
import type { CallbackRequest, CallbackResults, CallbackWork } from './reports.js'

const table: Record<(CallbackRequest | CallbackWork)['op'], true> = {
  callbacks: true,
  callbackRetry: true,
  callbacksDue: true,
  callbackContent: true,
  callbackReports: true,
}
const names: ReadonlySet<string> = new Set(Object.keys(table))

/** What each operation about callbacks does. */
export function createCallbackOrders(desk: CallbackDesk) {
  return {
    run(o: CallbackRequest | CallbackWork, allowed: Allowed): Outcome<CallbackResults[keyof CallbackResults]> {
      switch (o.op) {
        case 'callbacks':
          return desk.list(o, allowed)
        case 'callbackRetry':
          return desk.retry(o.task_id, allowed)
        case 'callbacksDue':
          return desk.due(o.underWay, o.limit, o.perHost)
        case 'callbackContent':
          return desk.content(o.task_id, o.webhook_id)
        case 'callbackReports':
          return desk.reports(o.reports)
        default:
          return never(o)
      }
    },
    concerns: (o: Operation): o is CallbackRequest | CallbackWork => names.has(o.op),
  }
}
