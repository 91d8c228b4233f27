import { verifyDelegation } from '../chain/delegations.js'
import { NO_CHAIN } from '../core/settlement/reports.js'
import { done } from '../lib/result.js'
import { delegationBody, delegationsQuery } from '../wire/delegation.js'
import { fail } from './answers.js'
import { parse } from './body.js'
import type { RouteParts } from './route-parts.js'
import { said, type Routes } from './routes.js'

/** Where nodes are paid that are not paid at the address of their key. */
export function delegationRoutes(
  { get, post, command, answer }: Routes,
  { ask, verify, limits, chain = null }: RouteParts,
): void {
  post('/api/v1/delegations', limits.other, delegationBody, async (body, exchange) => {
    if (chain === null) return NO_CHAIN
    const delegation = await verify(exchange.keys, () => verifyDelegation(body, chain.network))
    return delegation.ok ? ask(exchange, { op: 'delegate', delegation: delegation.value }) : delegation
  })
  get('/api/v1/delegations', async (c) => {
    const query = parse(delegationsQuery, c.req.query())
    if (!query.ok) return fail(c, query)
    const { cursor = null, limit } = query.value
    const page = await ask(c.env, { op: 'delegations', after: cursor, limit })
    return answer(c, page.ok ? done({ delegations: page.value.delegations, next_cursor: page.value.next }) : page)
  })
  command({
    method: 'DELETE',
    path: '/api/v1/delegations/:node_key',
    name: 'node_key',
    place: -1,
    run: (node_key, exchange) => said(ask(exchange, { op: 'undelegate', node_key }), 'Delegation revoked'),
  })
}
