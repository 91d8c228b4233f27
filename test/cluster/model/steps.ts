import fc from 'fast-check'
import type { Cut } from './memory-log.js'

/** `who`: one of the members by its number, or whoever owns the work. */
type Who = number | 'owner'

export type Step =
  | { do: 'submit'; task: number; size: 'small' | 'large'; times: number }
  | { do: 'work'; node: number }
  | { do: 'cancel' | 'look'; task: number; which: number }
  | { do: 'pass'; ms: number }
  | { do: 'crash'; who: Who; disk: boolean }
  | { do: 'restart' | 'heal' | 'leave' | 'power cut' }
  | { do: 'cut'; who: Who; what: Cut }
  | { do: 'pause'; who: Who; ms: number }
  | { do: 'lose ack' | 'drop'; who: Who }
  | { do: 'delay' | 'reorder'; who: Who; ms: number }
  | { do: 'bus loses'; share: number }
  | { do: 'log loses'; count: number }

export interface Schedule {
  /** Of the delays, and of all else that is left to chance. */
  seed: number
  members: 2 | 3
  steps: Step[]
}

export const TASKS = 12
export const NODES = 3

const who: fc.Arbitrary<Who> = fc.oneof(
  { weight: 3, arbitrary: fc.constant('owner' as const) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 2 }) },
)
const task = fc.integer({ min: 0, max: TASKS - 1 })
const which = fc.integer({ min: 0, max: 2 })
const time = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 20 }) },
  { weight: 2, arbitrary: fc.integer({ min: 100, max: 2000 }) },
  { weight: 2, arbitrary: fc.integer({ min: 4000, max: 16_000 }) },
)
const work = [
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('submit' as const),
      task,
      size: fc.oneof(
        { weight: 15, arbitrary: fc.constant('small' as const) },
        { weight: 1, arbitrary: fc.constant('large' as const) },
      ),
      times: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('work' as const), node: fc.integer({ min: 0, max: NODES - 1 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), task, which }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('look' as const), task, which }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: time }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('lose ack' as const, 'drop' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const) }) },
]
const faults = [
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('delay' as const),
      who,
      ms: fc.integer({ min: 1000, max: 16_000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('reorder' as const), who, ms: fc.integer({ min: 4, max: 60 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('crash' as const),
      who,
      disk: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'heal' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('cut' as const),
      who,
      what: fc.constantFrom<Cut>('all', 'bus', 'journal', 'in', 'out'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('pause' as const), who, ms: fc.integer({ min: 1000, max: 20_000 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('bus loses' as const), share: fc.constantFrom(0.2, 0.6, 1) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('power cut' as const) }) },
]

const scheduleOf = (...steps: fc.WeightedArbitrary<Step>[]): fc.Arbitrary<Schedule> =>
  fc.record({
    seed: fc.integer({ min: 0, max: 2 ** 31 }),
    members: fc.constantFrom(2 as const, 3 as const),
    steps: fc.array(fc.oneof(...steps), { minLength: 4, maxLength: 30, size: 'max' }),
  })

/** Everything that may happen, to a log that keeps what it acknowledges. */
export const schedules = scheduleOf(...work, ...faults)

/** The log goes back behind what it has acknowledged, while the coordinators are there to give it again. */
export const schedulesOfLoss = scheduleOf(...work, {
  weight: 3,
  arbitrary: fc.record({ do: fc.constant('log loses' as const), count: fc.integer({ min: 1, max: 4 }) }),
})
