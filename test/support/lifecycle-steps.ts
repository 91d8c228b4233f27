import fc from 'fast-check'
import * as v from 'valibot'
import { nodeMessages } from '../../src/wire/node.js'

export const SESSION_NODES = ['alice', 'bob', 'carol']
export const POLLING_NODES = ['pat', 'quinn']
export const MODELS = ['llama-3-8b', 'llama', 'mixtral-8x7b', 'nobody-knows']

/** One thing that can happen; its numbers are taken modulo what there is. */
export type Step =
  | { do: 'submit'; model: number; fee: number; id: number }
  | { do: 'connect'; node: number; remembers: number }
  | { do: 'leave'; node: number; returned: boolean }
  | {
      do: 'say'
      what: 'accept' | 'reject' | 'output' | 'complete' | 'fail' | 'failForGood'
      node: number
      which: number
      lie: number
    }
  | { do: 'beat'; node: number; status: number }
  | { do: 'drain'; node: number }
  | { do: 'poll'; node: number; running: boolean }
  | { do: 'rest'; what: 'complete' | 'fail'; node: number; which: number }
  /** An operator forgets a node of either kind; somebody else, or the same, comes by its name later. */
  | { do: 'forget'; node: number }
  /** A key that nobody has seen is proven for the name of a node that polls. */
  | { do: 'takeOver'; node: number }
  | { do: 'wait'; ms: number }
  | { do: 'restart'; crash: boolean }

const small = fc.nat(9)
export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('submit' as const), model: small, fee: fc.nat(3), id: fc.nat(30) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('connect' as const), node: small, remembers: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), node: small, returned: fc.boolean() }) },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('say' as const),
      what: fc.constantFrom(
        'accept' as const,
        'accept' as const,
        'reject' as const,
        'output' as const,
        'complete' as const,
        'complete' as const,
        'fail' as const,
        'failForGood' as const,
      ),
      node: small,
      which: small,
      lie: fc.nat(12),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('beat' as const), node: small, status: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drain' as const), node: small }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('poll' as const), node: small, running: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('rest' as const),
      what: fc.constantFrom('complete' as const, 'complete' as const, 'fail' as const),
      node: small,
      which: small,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('forget' as const, 'takeOver' as const), node: small }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(10, 1000, 6000, 20_000, 70_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), crash: fc.boolean() }) },
)

/** The key of a node as the core knows it, and what it says in its hello. */
export const keyOf = (node: string, n = 0): string => `02${Buffer.from(`${node} ${n}`).toString('hex').padEnd(64, '0')}`
/** How many tasks a node holds beyond its slots: some do. */
export const prefetchOf = (node: string): number => (SESSION_NODES.indexOf(node) % 2 === 0 ? 2 : 0)

export const helloOf = (node: string, more: Record<string, unknown> = {}) =>
  v.parse(nodeMessages['session.hello'], {
    type: 'session.hello',
    node_id: node,
    public_key: `key of ${node}`,
    signature: 'x',
    supported_models: ['llama'],
    ...more,
  })

/** The service clock of an idle core is written every 10 s only, and what it wrote of the task is newer. */
export const CRASH_SOON_AFTER_IDLING: Step[] = [
  { do: 'wait', ms: 6000 },
  { do: 'connect', node: 0, remembers: 0 },
  { do: 'submit', model: 0, fee: 0, id: 0 },
  { do: 'restart', crash: true },
  { do: 'connect', node: 0, remembers: 0 },
  { do: 'forget', node: 0 },
]
