import { taskRoutes as routes } from '../contract/task-routes.js'
import { refuse } from '../lib/result.js'
import { fail, ok } from './answers.js'
import { pathId } from './paths.js'
import { read } from './reads.js'
import type { RouteParts } from './route-parts.js'
import type { Routes } from './routes.js'

const NO_SIGNER = refuse(
  'not_found',
  'this service has no key to sign receipts with (signer.stacks_private_key); ask its operator',
)

/** What the service vouches for of a result, signed. */
export function receiptRoutes({ get }: Routes, { ask, gate, receipts = null }: RouteParts): void {
  get(routes.getReceipt, async (c) => {
    const id = pathId(c.req.url, 'task_id')
    if (!id.ok) return fail(c, id)
    return read(c, gate, {
      ask: () => ask(c.env, { op: 'receipt', task_id: id.value }),
      size: ({ user_input, context, output }) => user_input.length + context.length + output.length,
      send: async (facts) => (receipts === null ? fail(c, NO_SIGNER) : ok(c, await receipts(facts))),
    })
  })
}
