import type { TokenKind } from '../wire/token.js'
import type { Role } from './roles.js'

/** The kinds of a token, as its text names them, and the role that each gives; an invite gives none: it is shown once, in a hello. */
export const roleOfKind = {
  adm: 'admin',
  opr: 'operator',
  usr: 'user',
  viw: 'viewer',
  met: 'metrics',
  nod: 'node',
  inv: null,
} as const satisfies Record<TokenKind, Role | null>

const HOUR = 3600
const DAY = 24 * HOUR

/** How long a token of each kind is good when nobody says otherwise, seconds; null: until it is revoked. */
export const defaultLifetime: Readonly<Record<TokenKind, number | null>> = {
  adm: 90 * DAY,
  opr: 90 * DAY,
  usr: 365 * DAY,
  viw: null,
  met: null,
  nod: null,
  inv: DAY,
}
/** What a token and its owner may take. A limit that is null does not hold. */
export interface Limits {
  /** Requests a second, over ten seconds. */
  rate: number | null
  /** Bytes of requests a second, over ten seconds. */
  bytes_per_second: number | null
  /** Bytes of answers that may wait for their reader. */
  unsent_bytes: number | null
  /** Tasks of one owner that may wait. */
  max_pending: number | null
  /** Of one owner in a day (UTC): tasks, the sum of their infer_fee in micro-STX, bytes of their texts. */
  tasks_per_day: number | null
  fee_per_day: number | null
  bytes_per_day: number | null
  /** The models and families it may submit for. */
  models: readonly string[] | null
}

/** What a token says of limits; an invite: the most tasks at once of a node that it lets in. */
export type OwnLimits = Partial<Limits> & { slots_max?: number | undefined }

const MIB = 1024 * 1024

/** What holds for a token that says nothing of it. */
export const defaultLimits: Limits = {
  rate: 100,
  bytes_per_second: 8 * MIB,
  unsent_bytes: 64 * MIB,
  max_pending: 1000,
  tasks_per_day: 100_000,
  fee_per_day: null,
  bytes_per_day: 1024 * MIB,
  models: null,
}

/** Where nobody is limited. */
export const noLimits: Limits = {
  rate: null,
  bytes_per_second: null,
  unsent_bytes: null,
  max_pending: null,
  tasks_per_day: null,
  fee_per_day: null,
  bytes_per_day: null,
  models: null,
}

/** What holds for a token: its own limits, and the default where it has none. */
export const limitsOf = ({ slots_max: _, ...own }: OwnLimits): Limits => ({ ...defaultLimits, ...own })

/** What becomes of a token: times in Unix seconds. */
export interface TokenLife {
  expires_at: number | null
  revoked_at: number | null
  replaced_by: string | null
  uses_left: number | null
}

/** active, or replaced: it is good, the latter only until it expires. used: an invite that has none left. */
export type TokenState = 'active' | 'replaced' | 'expired' | 'revoked' | 'used'

/** @param now Unix seconds */
export function tokenState({ expires_at, revoked_at, replaced_by, uses_left }: TokenLife, now: number): TokenState {
  if (revoked_at !== null) return 'revoked'
  if (uses_left === 0) return 'used'
  if (expires_at !== null && expires_at <= now) return 'expired'
  return replaced_by === null ? 'active' : 'replaced'
}

/** Whether a token opens what it is for. @param now Unix seconds */
export const isGood = (life: TokenLife, now: number): boolean => /^(?:active|replaced)$/.test(tokenState(life, now))

/** The day that quotas count, from 1970-01-01 in UTC. @param now Unix seconds */
export const dayOf = (now: number): number => Math.floor(now / DAY)
