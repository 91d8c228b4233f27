import { verifyDelegation } from '../chain/delegations.js'
import { delegationRoutes as routes } from '../contract/node-routes.js'
import { NO_CHAIN } from '../core/settlement/reports.js'
import { done } from '../lib/result.js'
import type { RouteParts } from './route-parts.js'
import { said, type Routes } from './routes.js'

/** Where nodes are paid that are not paid at the address of their key. */
export function delegationRoutes(
  { get, post, command, answer }: Routes,
  { ask, verify, limits, chain = null }: RouteParts,
): void {
  post(routes.addDelegation, limits.other, async (body, exchange) => {
    if (chain === null) return NO_CHAIN
    const delegation = await verify(exchange.keys, () => verifyDelegation(body, chain.network))
    return delegation.ok ? ask(exchange, { op: 'delegate', delegation: delegation.value }) : delegation
  })
  get(routes.listDelegations, async (c, { cursor = null, limit }) => {
    const page = await ask(c.env, { op: 'delegations', after: cursor, limit })
    return answer(c, page.ok ? done({ delegations: page.value.delegations, next_cursor: page.value.next }) : page)
  })
  command(routes.revokeDelegation, (node_key, exchange) =>
    said(ask(exchange, { op: 'undelegate', node_key }), 'Delegation revoked'),
  )
}
