import type { Role, Scope } from './roles.js'
import { defaultLimits, noLimits, type Limits } from './tokens.js'

/**
 * Who asks, found once for a request or a session and carried by its operations.
 * `open`: authentication is off, and whoever reaches the service may do everything.
 */
export interface Principal {
  readonly role: Role | 'open'
  /** Of the token it came with; null where it came with none: nobody, a wallet's or a node's signature. */
  readonly token_id: string | null
  /** The addresses whose tasks are its own. */
  readonly owners: readonly string[]
  /** Whether it has proven, by a signature, that its addresses are its own: a wallet. */
  readonly wallet: boolean
  /** The one node it speaks for; null unless it is a node. */
  readonly node_id: string | null
  readonly scopes: readonly Scope[]
  readonly limits: Limits
}

/** The `owner_id` of what was submitted without a token: no address is empty, so nobody can be made its owner. */
export const ANONYMOUS = ''

/** A principal that has nothing but what is given. */
export function principal(given: Pick<Principal, 'role'> & Partial<Principal>): Principal {
  return { token_id: null, owners: [], wallet: false, node_id: null, scopes: [], limits: defaultLimits, ...given }
}

/** Who asks where authentication is off. */
export const OPEN: Principal = principal({ role: 'open', limits: noLimits })
/** Who shows nothing. What was submitted so belongs to everybody who knows its task_id. */
export const NOBODY: Principal = principal({ role: 'public', owners: [ANONYMOUS] })

/** How the audit names a principal. */
export function actorOf({ role, token_id, owners, wallet, node_id }: Principal): string {
  if (token_id !== null) return `token:${token_id}`
  if (wallet) return `wallet:${owners[0] ?? ''}`
  return node_id === null ? role : `node:${node_id}`
}

/** Whose secret signs the callbacks of what a principal submits; null: the one of the service. */
export const signedFor = (of: Principal): string | null => (of.token_id !== null || of.wallet ? actorOf(of) : null)
