import type { AuditFault, AuditHead } from '../../wire/audit-chain.js'
import type { AuditView, InviteBody, NewTokenView, NodeKeyView, TokenBody, TokenView } from '../../wire/access.js'

/** What is wanted of the audit, as its query has it. */
export interface AuditAsked {
  actor?: string | undefined
  action?: string | undefined
  subject?: string | undefined
  cursor?: string | undefined
  limit: string
}

/** What commands do about tokens, the audit and the keys of nodes: on the file, or by asking a service. */
export interface AccessCalls {
  createToken(body: TokenBody): Promise<NewTokenView>
  createInvite(body: InviteBody): Promise<NewTokenView>
  /** A page of all tokens, newest first. */
  tokens(cursor: string | null): Promise<{ tokens: TokenView[]; next_cursor: string | null }>
  revokeToken(id: string): Promise<void>
  /** @param overlap seconds */
  rotateToken(id: string, overlap: number): Promise<NewTokenView>
  allowKey(key: string, slots_max: number | null): Promise<NodeKeyView>
  /** @param subject a node_id or a key */
  banKey(subject: string, reason: string | null): Promise<NodeKeyView>
  rekeyNode(node_id: string, key: string): Promise<NodeKeyView>
  audit(asked: AuditAsked): Promise<{ entries: AuditView[]; next_cursor: string | null }>
  /** @param known a row as it was noted before */
  verifyAudit(known: AuditHead | null): Promise<{ head: AuditHead; fault: AuditFault | null }>
  /** Where nodes reach the coordinator, as well as it can be known here. */
  coordinator: string
}
