import type { Effect, Operation } from './operations.js'
import { refusals, type RefusalCode } from './refusals.js'

/** What the scheduler and the transaction have to know of an operation. */
export interface OperationTraits<O extends Operation> {
  /** Whether it writes rows, and so needs a commit. `depends`: on what memory knows, see `writesNothing` of run-operation. */
  writes: 'always' | 'never' | 'depends'
  /** Whether it may read rows that the operations before it in the same turn have put off: those are written first. */
  readsRows: boolean
  /**
   * Where it waits for its turn. reads: never for a commit. work: before everything that is new. intake: behind it; what
   * comes of one submitter's session stays in order, so everything of it is here.
   */
  queue: 'reads' | 'work' | 'intake'
  /** Whether it brings new tasks: refused while the service is overloaded. */
  newWork: boolean
  /** What it counts as in a batch: about the time it takes, in submissions. */
  weight(operation: O): number
  /** Who of the sessions is told when it came to nothing. */
  refusal(operation: O, code: RefusalCode, message: string): Effect[]
}

/** A page of a list takes a few milliseconds: two of them fill the smallest batch. */
const LIST_WEIGHT = 64
/** A watch of a task that has ended is answered with its result, which may be large: a turn has few of them in memory. */
const WATCH_WEIGHT = 8

const one = (): number => 1
const read = {
  writes: 'never',
  readsRows: true,
  queue: 'reads',
  newWork: false,
  weight: one,
  refusal: refusals.outcomeOnly,
} as const
const call = {
  writes: 'always',
  readsRows: true,
  queue: 'work',
  newWork: false,
  weight: one,
  refusal: refusals.outcomeOnly,
} as const

/** One row for each operation: one that is left out does not compile. */
export const operationTraits = {
  submit: {
    ...call,
    readsRows: false,
    queue: 'intake',
    newWork: true,
    weight: ({ tasks }) => Math.max(1, tasks.length),
  },
  register: call,
  heartbeat: { ...call, readsRows: false },
  poll: { ...call, writes: 'depends' },
  complete: { ...call, readsRows: false },
  fail: { ...call, readsRows: false },
  task: read,
  taskDetail: read,
  list: { ...read, weight: () => LIST_WEIGHT },
  cancel: call,
  retry: call,
  nodes: { ...read, weight: () => LIST_WEIGHT },
  drain: call,
  forget: call,
  stats: { ...read, readsRows: false },
  health: { ...read, readsRows: false },
  nodeHello: { ...call, readsRows: false, refusal: refusals.closeSession },
  nodeMessage: { ...call, writes: 'depends', readsRows: false, refusal: refusals.tellNode },
  nodeSeen: { ...call, writes: 'never', readsRows: false },
  nodeDisconnected: { ...call, readsRows: false },
  clientConnected: { ...call, writes: 'never', readsRows: false, queue: 'intake' },
  clientSubmissions: {
    ...call,
    readsRows: false,
    queue: 'intake',
    newWork: true,
    weight: ({ list }) => list.length,
    refusal: refusals.tellEachSubmission,
  },
  clientMessage: {
    ...call,
    writes: 'depends',
    queue: 'intake',
    weight: () => WATCH_WEIGHT,
    refusal: refusals.tellClient,
  },
  clientDisconnected: { ...call, writes: 'never', readsRows: false, queue: 'intake' },
  tick: call,
  stop: { ...call, writes: 'never' },
} satisfies { [Name in Operation['op']]: OperationTraits<Extract<Operation, { op: Name }>> }

/** The row of an operation. That each row takes operations of its own name is what `satisfies` has checked. */
export const traitsOf = <O extends Operation>({ op }: O): OperationTraits<O> =>
  operationTraits[op] as OperationTraits<O>

/** What sessions are told when an operation came to nothing. */
export const refusalEffects = (operation: Operation, code: RefusalCode, message: string): Effect[] =>
  traitsOf(operation).refusal(operation, code, message)
