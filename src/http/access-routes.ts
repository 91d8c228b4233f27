import * as v from 'valibot'
import type { Operation, Results } from '../core/operations.js'
import { done, type Outcome } from '../lib/result.js'
import {
  allowBody,
  auditQuery,
  banBody,
  inviteBody,
  rekeyBody,
  restTokenBody,
  rotateBody,
  tokenId,
  tokensQuery,
} from '../wire/access.js'
import { fail } from './answers.js'
import type { RouteParts } from './route-parts.js'
import { parse } from './body.js'
import type { Exchange } from './exchange.js'
import type { Routes } from './routes.js'

const asCursor = (next: number | null): string | null => (next === null ? null : String(next))
const named = v.object({ id: tokenId })

/** Who may do what: tokens, the keys of nodes, the audit and what is out of the ordinary. */
export function accessRoutes(
  { get, post, postAbout, command, answer }: Routes,
  { call, ask, limits: { other } }: RouteParts,
): void {
  /** A change of who may do what, which holds once it is answered: the doors know of it then. */
  const change = async <O extends Operation>(exchange: Exchange, operation: O): Promise<Outcome<Results[O['op']]>> => {
    const outcome = await ask(exchange, operation)
    if (outcome.ok) await call({ op: 'tick' })
    return outcome
  }

  get('/api/v1/tokens', async (c) => {
    const query = parse(tokensQuery, c.req.query())
    if (!query.ok) return fail(c, query)
    const { cursor = null, limit } = query.value
    const page = await ask(c.env, { op: 'tokens', before: cursor, limit })
    return answer(c, page.ok ? done({ tokens: page.value.tokens, next_cursor: asCursor(page.value.next) }) : page)
  })
  post('/api/v1/tokens', other, restTokenBody, (body, exchange) => change(exchange, { op: 'tokenCreate', body }))
  command({
    method: 'DELETE',
    path: '/api/v1/tokens/:id',
    name: 'id',
    place: -1,
    async run(text, exchange) {
      const id = parse(named, { id: text })
      if (!id.ok) return id
      const revoked = await change(exchange, { op: 'tokenRevoke', token_id: id.value.id })
      return revoked.ok ? done('Token revoked') : revoked
    },
  })
  postAbout('/api/v1/tokens/:id/rotate', other, rotateBody, async (text, { overlap }, exchange) => {
    const id = parse(named, { id: text })
    if (!id.ok) return id
    const rotated = await change(exchange, { op: 'tokenRotate', token_id: id.value.id, overlap })
    return rotated.ok ? done(rotated.value.next) : rotated
  })

  post('/api/v1/nodes/invites', other, inviteBody, (body, exchange) => change(exchange, { op: 'invite', body }))
  post('/api/v1/nodes/keys', other, allowBody, (body, exchange) => change(exchange, { op: 'allow', ...body }))
  postAbout('/api/v1/nodes/:id/ban', other, banBody, (subject, { reason }, exchange) =>
    change(exchange, { op: 'ban', subject, reason }),
  )
  postAbout('/api/v1/nodes/:id/rekey', other, rekeyBody, (node_id, { public_key }, exchange) =>
    change(exchange, { op: 'rekey', node_id, public_key }),
  )

  get('/api/v1/audit', async (c) => {
    const query = parse(auditQuery, c.req.query())
    if (!query.ok) return fail(c, query)
    const { actor = null, action = null, subject = null, cursor = null, after = null, limit } = query.value
    const page = await ask(c.env, { op: 'audit', query: { actor, action, subject, before: cursor, after, limit } })
    return answer(c, page.ok ? done({ entries: page.value.entries, next_cursor: asCursor(page.value.next) }) : page)
  })
  get('/api/v1/alerts', async (c) => answer(c, await ask(c.env, { op: 'alerts' })))
}
