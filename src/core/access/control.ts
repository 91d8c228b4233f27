import type { AccessPolicy } from '../../rules/access.js'
import { ownsNode, ownsTask, type Owned } from '../../rules/ownership.js'
import { traitsOf } from '../operation-traits.js'
import type { Operation } from '../operations.js'
import { ANYBODY, judge, STRANGER, type Allowed, type Caller, type NotAllowed } from './caller.js'
import type { Credentials } from './credentials.js'

/** What a call of the service itself may do. */
const ITSELF: Allowed = {
  by: ANYBODY,
  grant: { own: false, texts: true, submitter: true, keys: true },
}

export interface AccessSettings extends AccessPolicy {
  /** `auth.mode`; auto: authentication is on once a token was made. */
  mode: 'auto' | 'on'
}

export type AccessControl = ReturnType<typeof createAccessControl>

/** Who may do what, judged in the turn: the one place that asks the table. */
export function createAccessControl(settings: AccessSettings, credentials: Pick<Credentials, 'state'>) {
  const isOn = (): boolean => settings.mode === 'on' || credentials.state().counts.made > 0
  /** Who asks. One that came while everything was open is nobody from then on. */
  const callerOf = (by: Caller | undefined): Caller => {
    if (!isOn()) return by ?? ANYBODY
    return by === undefined || by.principal.role === 'open' ? STRANGER : by
  }
  const admit = (o: Operation): Allowed | NotAllowed => {
    const action = traitsOf(o).action(o)
    return action === null ? ITSELF : judge(callerOf('by' in o ? o.by : undefined), action, settings)
  }
  return {
    /** Whether everybody is judged. */
    isOn,
    /** Whether somebody sees what happens in the whole service. */
    mayWatch: (by: Caller): boolean => !('ok' in judge(isOn() ? by : ANYBODY, 'overview', settings)),
    /** What an operation may do, or why it may not. */
    admit,
    /** Whether it has to look at texts that are not its own, which the audit keeps. */
    readsTexts({ by: { principal }, grant }: Allowed): boolean {
      return grant.texts && principal.role === 'operator'
    },
  }
}

/** Whether a task is within what was allowed. */
export const reachesTask = ({ by, grant }: Allowed, task: Owned): boolean => !grant.own || ownsTask(by.principal, task)

/** Whether a node is. */
export const reachesNode = ({ by, grant }: Allowed, nodeId: string): boolean =>
  !grant.own || ownsNode(by.principal, nodeId)
