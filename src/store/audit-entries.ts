import type { OwnLimits } from '../rules/tokens.js'
import type { TokenKind } from '../wire/token.js'
import type { Scope } from '../rules/roles.js'

/**
 * What the audit keeps of each change beside its subject. Nothing here can hold a prompt, an output or a secret: it is names, ids,
 * numbers, and the words of whoever acted.
 */
export interface AuditDetails {
  /** Subject: the token's id. */
  'token.created': {
    kind: TokenKind
    name: string
    owners: readonly string[] | null
    scopes: readonly Scope[]
    limits: OwnLimits
    cidrs: readonly string[] | null
    node_id: string | null
    uses: number | null
    expires_at: number | null
  }
  'token.revoked': Record<never, never>
  'token.rotated': { replaced_by: string; overlap_seconds: number }
  /** An invite was used. Subject: the node's key. */
  'node.enrolled': { node_id: string; invite: string }
  /** Subject: the node's key. */
  'node.allowed': { slots_max: number | null; was: 'unknown' | 'enrolled' | 'banned' }
  'node.banned': { node_id: string | null; reason: string | null }
  /** Subject: the node's id. */
  'node.rekeyed': { old_key: string; new_key: string; by: 'operator' | 'old key' }
  'node.drained': Record<never, never>
  'node.resumed': Record<never, never>
  'node.forgotten': Record<never, never>
  /** Subject: the task's id. */
  'task.cancelled': { owner_id: string | null }
  'task.retried': { owner_id: string | null }
  'task.texts_read': { owner_id: string | null }
  /** Subject: the task's id. `was`: the state that it was in. */
  'settlement.retried': { was: string }
  'callback.retried': { was: string }
  /** Where a node is paid. Subject: the node's key. `was`: where it was before. */
  'payee.delegated': { address: string; was: string | null }
  'payee.revoked': { address: string }
  /** Subject: the file. */
  'backup.made': { bytes: number }
  /** Subject: the version. `config`: SHA-256 of the configuration without its secrets. */
  'service.started': { config: string; mode: 'open' | 'on' }
  /** Attempts of one minute. Subject: null. */
  'access.refused': { count: number; addresses: number; unauthorized: number; forbidden: number }
}
export type AuditAction = keyof AuditDetails

/** What was done: an action with the detail that belongs to it. */
export type AuditEntry = {
  [A in AuditAction]: { action: A; subject: string | null; detail: AuditDetails[A] }
}[AuditAction]

/** Who did it, and when. */
export interface AuditBy {
  /** `cli:<user>`, or as `actorOf` names a principal. */
  actor: string
  /** Null for a command on the file. */
  address: string | null
  request_id: string | null
  /** Wall clock, Unix ms. */
  at_ms: number
}
