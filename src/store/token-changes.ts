import { toSeconds } from '../lib/clock.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import { defaultLifetime, roleOfKind, tokenState } from '../rules/tokens.js'
import { kindOfRole, type InviteBody, type TokenBody, type TokenView } from '../wire/access.js'
import type { AuditTable } from './audit.js'
import type { AuditBy } from './audit-entries.js'
import type { Token, TokenTable } from './tokens.js'
import type { TokenKind } from '../wire/token.js'

/** What is kept of the text of a new token. */
export interface TokenKey {
  id: string
  /** SHA-256 of the whole text, hex. */
  hash: string
}

/** A token as it is shown. @param now Unix seconds */
export function viewToken(token: Token, now: number): TokenView {
  const { hash: _, kind, ...rest } = token
  return { ...rest, role: roleOfKind[kind] ?? 'invite', state: tokenState(token, now) }
}

/** Makes, revokes and replaces tokens. */
export function createTokenChanges({ tokens, audit }: { tokens: TokenTable; audit: AuditTable }) {
  const add = (token: Token, by: AuditBy): TokenView => {
    tokens.insert(token)
    const { kind, name, owners, scopes, limits, cidrs, node_id, uses_left: uses, expires_at } = token
    audit.append(
      {
        action: 'token.created',
        subject: token.id,
        detail: { kind, name, owners, scopes, limits, cidrs, node_id, uses, expires_at },
      },
      by,
    )
    return viewToken(token, token.created_at)
  }
  const make = (kind: TokenKind, key: TokenKey, given: Partial<Token>, life: Lifetime, by: AuditBy): Token => {
    const now = toSeconds(by.at_ms)
    const lifetime = life === undefined ? defaultLifetime[kind] : life
    return {
      kind,
      name: '',
      owners: null,
      scopes: [],
      limits: {},
      cidrs: null,
      node_id: null,
      uses_left: null,
      ...given,
      ...key,
      created_at: now,
      created_by: by.actor,
      expires_at: lifetime === null ? null : now + lifetime,
      revoked_at: null,
      replaced_by: null,
      last_used_at: null,
    }
  }
  const withToken = <T>(id: string, then: (token: Token) => Outcome<T>): Outcome<T> => {
    const token = tokens.get(id)
    return token === undefined ? refuse('not_found', `there is no token ${id}`) : then(token)
  }

  return {
    /** @param key of a text whose kind is that of `body.role` */
    createToken({ role, expires_in, ...given }: TokenBody, key: TokenKey, by: AuditBy): TokenView {
      return add(make(kindOfRole[role], key, given, expires_in, by), by)
    },

    /** @param key of a text of kind `inv` */
    createInvite({ name, uses, slots_max, expires_in }: InviteBody, key: TokenKey, by: AuditBy): TokenView {
      const limits = slots_max === null ? {} : { slots_max }
      return add(make('inv', key, { name, uses_left: uses, limits }, expires_in, by), by)
    },

    /** Ends a token at once. One that was revoked stays as it is. */
    revokeToken: (id: string, by: AuditBy): Outcome<TokenView> =>
      withToken(id, (token) => {
        const now = toSeconds(by.at_ms)
        if (!tokens.revoke(id, now)) return done(viewToken(token, now))
        audit.append({ action: 'token.revoked', subject: id, detail: {} }, by)
        return done(viewToken({ ...token, revoked_at: now }, now))
      }),

    /**
     * Puts a token in the place of another one, which stays good for `overlap` seconds. The new one lives as long as the old one
     * was to.
     * @param nextKey of a text of the kind that it is called with
     */
    rotateToken: (
      id: string,
      nextKey: (kind: TokenKind) => TokenKey,
      overlap: number,
      by: AuditBy,
    ): Outcome<{ next: TokenView; old: TokenView }> =>
      withToken(id, (token) => {
        const now = toSeconds(by.at_ms)
        const state = tokenState(token, now)
        if (token.kind === 'inv') return refuse('conflict', `${id} is an invite: make another one`)
        if (state !== 'active')
          return refuse('conflict', `${id} is ${state} and cannot be rotated: ${insteadOf(state)}`)
        const { expires_at, created_at } = token
        const next = make(
          token.kind,
          nextKey(token.kind),
          token,
          expires_at === null ? null : expires_at - created_at,
          by,
        )
        const until = Math.min(now + overlap, expires_at ?? Infinity)
        tokens.replace(id, next.id, until)
        const view = add(next, by)
        audit.append(
          { action: 'token.rotated', subject: id, detail: { replaced_by: next.id, overlap_seconds: overlap } },
          by,
        )
        return done({ next: view, old: viewToken({ ...token, replaced_by: next.id, expires_at: until }, now) })
      }),
  }
}

/** Seconds; null: for ever; undefined: as its kind has it. */
type Lifetime = number | null | undefined

const insteadOf = (state: string): string =>
  state === 'replaced' ? 'rotate the one that took its place' : 'make another one'
