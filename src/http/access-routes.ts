import * as v from 'valibot'
import { accessRoutes as routes } from '../contract/access-routes.js'
import { nodeRoutes } from '../contract/node-routes.js'
import type { Operation, Results } from '../core/operations.js'
import { done, type Outcome } from '../lib/result.js'
import { tokenId } from '../wire/access.js'
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

  get(routes.listTokens, async (c, { cursor = null, limit }) => {
    const page = await ask(c.env, { op: 'tokens', before: cursor, limit })
    return answer(c, page.ok ? done({ tokens: page.value.tokens, next_cursor: asCursor(page.value.next) }) : page)
  })
  post(routes.createToken, other, (body, exchange) => change(exchange, { op: 'tokenCreate', body }))
  command(routes.revokeToken, async (text, exchange) => {
    const id = parse(named, { id: text })
    if (!id.ok) return id
    const revoked = await change(exchange, { op: 'tokenRevoke', token_id: id.value.id })
    return revoked.ok ? done('Token revoked') : revoked
  })
  postAbout(routes.rotateToken, other, async (text, { overlap }, exchange) => {
    const id = parse(named, { id: text })
    if (!id.ok) return id
    const rotated = await change(exchange, { op: 'tokenRotate', token_id: id.value.id, overlap })
    return rotated.ok ? done(rotated.value.next) : rotated
  })

  post(nodeRoutes.inviteNode, other, (body, exchange) => change(exchange, { op: 'invite', body }))
  post(nodeRoutes.allowNodeKey, other, (body, exchange) => change(exchange, { op: 'allow', ...body }))
  postAbout(nodeRoutes.banNode, other, (subject, { reason }, exchange) =>
    change(exchange, { op: 'ban', subject, reason }),
  )
  postAbout(nodeRoutes.rekeyNode, other, (node_id, { public_key }, exchange) =>
    change(exchange, { op: 'rekey', node_id, public_key }),
  )

  get(routes.readAudit, async (c, query) => {
    const { actor = null, action = null, subject = null, cursor = null, after = null, limit } = query
    const page = await ask(c.env, { op: 'audit', query: { actor, action, subject, before: cursor, after, limit } })
    return answer(c, page.ok ? done({ entries: page.value.entries, next_cursor: asCursor(page.value.next) }) : page)
  })
  get(routes.listAlerts, async (c) => answer(c, await ask(c.env, { op: 'alerts' })))
}
