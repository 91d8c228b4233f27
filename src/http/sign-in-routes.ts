import { signInRoutes as routes } from '../contract/access-routes.js'
import type { RouteParts } from './route-parts.js'
import type { Exchange } from './exchange.js'
import type { Routes } from './routes.js'

/** Who a challenge is for: who asks for it from one address. */
const askerOf = ({ keys }: Exchange): string => keys[0]?.key ?? ''

/** Wallets sign in. */
export function signInRoutes(
  { post }: Routes,
  { signIn, verify, who, publicHosts, limits: { other } }: RouteParts,
): void {
  post(routes.askChallenge, other, ({ address }, exchange) => {
    // Without a name of its own it is that under which the program has found it, which the guard has let pass.
    const domain = publicHosts[0] ?? exchange.remote.host ?? 'this service'
    return Promise.resolve(signIn.challenge(address, domain, askerOf(exchange)))
  })
  post(routes.answerChallenge, other, async (given, exchange) => {
    const outcome = await verify(exchange.keys, () => signIn.answer(given, askerOf(exchange)))
    return !outcome.ok && outcome.code === 'unauthorized' ? who.failed(exchange.remote, outcome) : outcome
  })
}
