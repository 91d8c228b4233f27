import { may, type AccessPolicy, type Action, type Grant } from '../../rules/access.js'
import { actorOf, NOBODY, OPEN, type Principal } from '../../rules/principal.js'
import type { AuditBy } from '../../store/audit-entries.js'

/** Who calls an operation: made once at a door for a request or a session, and judged in the turn. */
export interface Caller {
  readonly principal: Principal
  /** The address it calls from; null within the process. */
  readonly address: string | null
  readonly request_id: string | null
}

/** Who calls where authentication is off, and where a service is embedded. */
export const ANYBODY: Caller = { principal: OPEN, address: null, request_id: null }
/** Who calls where authentication is on and nothing was said of a caller. */
export const STRANGER: Caller = { principal: NOBODY, address: null, request_id: null }

/** A call that was allowed: who, and how far. */
export interface Allowed {
  readonly by: Caller
  readonly grant: Grant
}

/** Why somebody may not do something. */
export interface NotAllowed {
  readonly ok: false
  readonly code: 'unauthorized' | 'forbidden'
  readonly message: string
}

const NEEDS_TOKEN: NotAllowed = {
  ok: false,
  code: 'unauthorized',
  message: 'this needs a token: send "Authorization: Bearer sis_...", which the operator of this service gives out',
}
export const forbidden = (message: string): NotAllowed => ({ ok: false, code: 'forbidden', message })

/** What a caller may do of an action, or why it may not. */
export function judge(by: Caller, action: Action, policy: AccessPolicy): Allowed | NotAllowed {
  const { principal } = by
  const grant = may(principal, action, policy)
  if (grant !== null) return { by, grant }
  return principal.role === 'public'
    ? NEEDS_TOKEN
    : forbidden(`a token of role ${principal.role} may not do this; ask the operator of this service for one that may`)
}

/** Who did something, as the audit has it. @param wall ms */
export const auditBy = ({ principal, address, request_id }: Caller, wall: number): AuditBy => ({
  actor: actorOf(principal),
  address,
  request_id,
  at_ms: Math.floor(wall),
})
