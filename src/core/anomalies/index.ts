import { createAlertBook, type Alert } from './alerts.js'
import { createNodeWatch, type NodeAct } from './node-watch.js'
import { createServiceWatch } from './service-watch.js'
import type { AlertThresholds } from './settings.js'

export type Anomalies = ReturnType<typeof createAnomalies>

/**
 * Watches for what is out of the ordinary, in memory only and within bounds: what it sees are events that happen anyway. It raises
 * alerts, and says which nodes to be careful with; the core does that in its next turn.
 * @param tell an alert that is new, or goes on after ten minutes
 */
export function createAnomalies(limits: AlertThresholds, wall: () => number, tell: (alert: Alert) => void) {
  const book = createAlertBook(tell)
  /** What is to be done with nodes, the latest of each. */
  const acts = new Map<string, { act: NodeAct; why: string }>()
  const raise: Parameters<typeof createNodeWatch>[1] = (kind, subject, message, act) => {
    book.raise(kind, subject, message, wall())
    if (act !== undefined) acts.set(act.nodeId, { act: act.act, why: `${kind}: ${message}` })
  }
  return {
    ...createNodeWatch(limits, raise),
    ...createServiceWatch(limits, raise),
    list: () => book.list(wall()),
    /** Which nodes to be careful with since this was asked last. */
    takeActs(): [nodeId: string, { act: NodeAct; why: string }][] {
      const taken = [...acts]
      acts.clear()
      return taken
    },
  }
}
