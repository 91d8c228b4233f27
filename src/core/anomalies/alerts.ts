/** What is watched for. */
export const alertKinds = [
  'failure_rate',
  'impossible_speed',
  'empty_outputs',
  'same_output',
  'hoarding',
  'concentration',
  'auth_failures',
  'fee_outlier',
  'owner_surge',
  'new_node_surge',
  'operator_surge',
  'server_errors',
  'budget',
] as const
export type AlertKind = (typeof alertKinds)[number]

/** Something that an operator should look at. Times: wall clock, Unix ms. */
export interface Alert {
  kind: AlertKind
  /** A node_id, a model, an owner, an address; empty for the service as a whole. */
  subject: string
  /** What was seen, as a sentence. Never holds a text of a task. */
  message: string
  since: number
  last: number
  times: number
}

/** An alert that nothing has raised for so long is over, ms. */
const ALERT_LASTS_MS = 600_000
/** Alerts that are kept at once. */
const MAX_ALERTS = 1000

export type AlertBook = ReturnType<typeof createAlertBook>

/**
 * The alerts that are open. The same one again is counted, and told once in ten minutes.
 * @param tell called for one that is new, or that is told again
 */
export function createAlertBook(tell: (alert: Alert) => void) {
  /** The longest unchanged first. */
  const open = new Map<string, Alert>()
  const toldAt = new WeakMap<Alert, number>()

  const expire = (wall: number): void => {
    for (const [key, alert] of open) {
      if (open.size <= MAX_ALERTS && wall - alert.last <= ALERT_LASTS_MS) return
      open.delete(key)
    }
  }
  return {
    raise(kind: AlertKind, subject: string, message: string, wall: number): void {
      const key = `${kind} ${subject}`
      const alert: Alert = open.get(key) ?? { kind, subject, message, since: wall, last: wall, times: 0 }
      open.delete(key)
      alert.message = message
      alert.last = wall
      alert.times++
      open.set(key, alert)
      expire(wall)
      if (wall - (toldAt.get(alert) ?? -Infinity) < ALERT_LASTS_MS) return
      toldAt.set(alert, wall)
      tell(alert)
    },
    /** The open ones, the newest first. */
    list(wall: number): Alert[] {
      expire(wall)
      return [...open.values()].reverse().map((a) => ({ ...a }))
    },
  }
}
