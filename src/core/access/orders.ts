import { done, type Outcome } from '../../lib/result.js'
import { viewAuditRow } from '../../store/audit.js'
import type { AuditBy } from '../../store/audit-entries.js'
import { viewToken } from '../../store/token-changes.js'
import { kindOfRole } from '../../wire/access.js'
import { makeToken, type TokenKind } from '../../wire/token.js'
import { toSeconds } from '../../lib/clock.js'
import type { Vigilance } from './vigilance.js'
import { version } from '../../lib/version.js'
import type { Context } from '../context.js'
import type { Operation, RefusedCalls, Results } from '../operations.js'
import { auditBy, type Allowed } from './caller.js'

type Order = Extract<
  Operation,
  { op: 'tokenCreate' | 'tokenRevoke' | 'tokenRotate' | 'invite' | 'allow' | 'ban' | 'rekey' }
>

/** What is asked about tokens, keys of nodes and the audit: each change is of `store/access`, with its row in the audit. */
export function createAccessOrders(ctx: Context, vigilance: Vigilance) {
  const { access } = ctx.store

  /** The service itself. */
  const ownAudit = (): AuditBy => ({ actor: 'service', address: null, request_id: null, at_ms: Math.floor(ctx.wall) })

  const newToken = <T>(kind: TokenKind, store: (key: { id: string; hash: string }) => T): T & { token: string } => {
    const { id, hash, token } = makeToken(kind)
    return { ...store({ id, hash }), token }
  }
  const change = (o: Order, by: AuditBy): Outcome<Results[Order['op']]> => {
    switch (o.op) {
      case 'tokenCreate':
        return done(newToken(kindOfRole[o.body.role], (key) => access.createToken(o.body, key, by)))
      case 'tokenRevoke':
        return access.revokeToken(o.token_id, by)
      case 'tokenRotate': {
        let token = ''
        const rotated = access.rotateToken(
          o.token_id,
          (kind) => {
            const made = makeToken(kind)
            token = made.token
            return { id: made.id, hash: made.hash }
          },
          o.overlap,
          by,
        )
        return rotated.ok ? done({ old: rotated.value.old, next: { ...rotated.value.next, token } }) : rotated
      }
      case 'invite':
        return done(newToken('inv', (key) => access.createInvite(o.body, key, by)))
      case 'allow':
        return access.allowKey(o.public_key, o.slots_max, by)
      case 'ban':
        return access.banKey(o.subject, o.reason, by)
      case 'rekey':
        return access.rekeyNode(o.node_id, o.public_key, 'operator', by)
    }
  }

  return {
    /** A change of who may do what; the doors are told of it at once. */
    change(o: Order, { by }: Allowed): Outcome<Results[Order['op']]> {
      vigilance.operatorActed(by)
      const outcome = change(o, auditBy(by, ctx.wall))
      if (!outcome.ok) return outcome
      ctx.afterCommit.push(() => ctx.credentials.changed())
      ctx.wake(ctx.now)
      return outcome
    },

    /** A start with other settings than the one before is a row. */
    started({ config, mode }: Extract<Operation, { op: 'started' }>): Outcome<null> {
      const last = access.audit.page({ actor: null, action: 'service.started', subject: null }, null, 1).rows[0]
      const detail = { config, mode }
      if (last === undefined || last.detail !== JSON.stringify(detail))
        access.audit.append({ action: 'service.started', subject: version, detail }, ownAudit())
      return done(null)
    },

    /** What the doors have refused in a minute: one row. */
    refused({ unauthorized, forbidden, addresses }: RefusedCalls): Outcome<null> {
      if (unauthorized + forbidden === 0) return done(null)
      access.audit.append(
        {
          action: 'access.refused',
          subject: null,
          detail: { count: unauthorized + forbidden, addresses: addresses.length, unauthorized, forbidden },
        },
        ownAudit(),
        'refused',
      )
      return done(null)
    },

    tokens(before: number | null, limit: number): Outcome<Results['tokens']> {
      const { tokens, next } = access.tokens.page(before, limit)
      const now = toSeconds(ctx.wall)
      return done({ tokens: tokens.map((token) => viewToken(token, now)), next })
    },

    audit({
      after,
      before,
      limit,
      ...filter
    }: Extract<Operation, { op: 'audit' }>['query']): Outcome<Results['audit']> {
      if (after !== null) {
        const rows = access.audit.after(after, limit)
        return done({ entries: rows.map(viewAuditRow), next: rows.length < limit ? null : (rows.at(-1)?.seq ?? null) })
      }
      const { rows, next } = access.audit.page(filter, before, limit)
      return done({ entries: rows.map(viewAuditRow), next })
    },
  }
}
