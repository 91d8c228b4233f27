import fc from 'fast-check'

/** One thing that comes through a door; its numbers are taken modulo what there is. */
export type Command =
  | { do: 'submit'; id: number; other: boolean }
  | { do: 'batch'; from: number }
  | { do: 'connect'; node: number; remembers: boolean }
  | { do: 'vanish'; node: number; returned: boolean }
  | { do: 'complete' | 'fail' | 'failForGood' | 'reject' | 'accept'; node: number; which: number }
  | { do: 'poll' }
  | { do: 'pollComplete' | 'pollFail'; which: number }
  | { do: 'cancel' | 'retry'; id: number }
  | { do: 'drain' | 'resume' | 'forget'; node: number }
  /** Another session of a node that has one. */
  | { do: 'second'; node: number; takeOver: boolean }
  /** Somebody else comes by the name of a node, with a key of his own. */
  | { do: 'stranger'; node: number; rest: boolean }
  /** Who has a name says that he has completed what the hands before were given. */
  | { do: 'formerly'; node: number; which: number }
  | { do: 'restart' }

const n = fc.nat(7)
export const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('submit' as const), id: n, other: fc.nat(6).map((x) => x === 0) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('batch' as const), from: n }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('connect' as const), node: n, remembers: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('vanish' as const), node: n, returned: fc.boolean() }) },
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'complete' as const,
        'complete' as const,
        'fail' as const,
        'failForGood' as const,
        'reject' as const,
        'accept' as const,
      ),
      node: n,
      which: n,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('poll' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('pollComplete' as const, 'pollFail' as const), which: n }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('cancel' as const, 'retry' as const), id: n }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('drain' as const, 'resume' as const, 'forget' as const), node: n }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('second' as const), node: n, takeOver: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stranger' as const), node: n, rest: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('formerly' as const), node: n, which: n }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
)
