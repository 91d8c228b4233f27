import type { Action } from '../rules/access.js'
import type { Effect, Operation } from './operations.js'
import { refusals, type RefusalCode } from './refusals.js'

/** What the scheduler and the transaction have to know of an operation. */
export interface OperationTraits<O extends Operation> {
  /** What it is in the table of who may do what; null for what nobody asks for: the service itself, and who has proven a key. */
  action(operation: O): Action | null
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
/** So many nodes of their list take as long as one submission, and to begin with it as long as LIST_BEGIN_WEIGHT. */
const NODES_A_SUBMISSION = 16
const LIST_BEGIN_WEIGHT = 8
/** A watch of a task that has ended is answered with its result, which may be large: a turn has few of them in memory. */
const WATCH_WEIGHT = 8

const one = (): number => 1
const is = (action: Action | null) => (): Action | null => action
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

/** Of figures that memory has. */
const watched = { ...read, readsRows: false, weight: (): number => LIST_WEIGHT }

/** One row for each operation: one that is left out does not compile. */
export const operationTraits = {
  submit: {
    ...call,
    action: is('submit'),
    readsRows: false,
    queue: 'intake',
    newWork: true,
    weight: ({ tasks }) => Math.max(1, tasks.length),
  },
  register: { ...call, action: is('register') },
  heartbeat: { ...call, action: is('heartbeat'), readsRows: false },
  poll: { ...call, action: is('poll'), writes: 'depends' },
  complete: { ...call, action: is('complete'), readsRows: false },
  fail: { ...call, action: is('fail'), readsRows: false },
  task: { ...read, action: is('task'), writes: 'depends' },
  taskDetail: { ...read, action: is('taskDetail'), writes: 'depends' },
  receipt: { ...read, action: is('receipt') },
  list: { ...read, action: is('list'), weight: () => LIST_WEIGHT },
  cancel: { ...call, action: is('cancel') },
  retry: { ...call, action: is('retry') },
  nodes: {
    ...read,
    action: is('nodes'),
    weight: ({ limit }) => LIST_BEGIN_WEIGHT + Math.ceil(limit / NODES_A_SUBMISSION),
  },
  drain: { ...call, action: ({ drained }) => (drained ? 'drain' : 'resume') },
  forget: { ...call, action: is('forget') },
  stats: { ...read, action: is('stats'), readsRows: false },
  health: { ...read, action: is('health'), readsRows: false },
  tokens: { ...read, action: is('tokens.list'), weight: () => LIST_WEIGHT },
  tokenCreate: { ...call, action: is('tokens.create') },
  tokenRevoke: { ...call, action: is('tokens.revoke') },
  tokenRotate: { ...call, action: is('tokens.rotate') },
  invite: { ...call, action: is('nodes.invite') },
  allow: { ...call, action: is('nodes.allow') },
  ban: { ...call, action: is('nodes.ban') },
  rekey: { ...call, action: is('nodes.rekey') },
  audit: { ...read, action: is('audit.list'), weight: () => LIST_WEIGHT },
  alerts: { ...read, action: is('alerts'), readsRows: false },
  settlements: { ...read, action: is('settlements'), writes: 'depends', weight: () => LIST_WEIGHT },
  settlement: { ...read, action: is('settlements') },
  settlementRetry: { ...call, action: is('settlementRetry') },
  taskOfTx: { ...read, action: is('taskOfTx') },
  delegate: { ...call, action: is('delegations.add') },
  delegations: { ...read, action: is('delegations.list'), readsRows: false, weight: () => LIST_WEIGHT },
  undelegate: { ...call, action: is('delegations.revoke') },
  settlementsDue: { ...read, action: is(null), writes: 'depends' },
  settlementTexts: { ...read, action: is(null) },
  settlementReports: { ...call, action: is(null), weight: ({ reports }) => Math.max(1, reports.length) },
  chainTip: { ...call, action: is(null), weight: () => LIST_WEIGHT },
  chainBlock: { ...call, action: is(null), weight: ({ block }) => Math.max(1, block.transactions.length) },
  chainGap: { ...call, action: is(null) },
  stakesDue: { ...read, action: is(null), readsRows: false },
  stakes: { ...call, action: is(null), writes: 'never' },
  chainDropped: { ...call, action: is(null) },
  callbacks: { ...read, action: is('callbacks'), weight: () => LIST_WEIGHT },
  callbackRetry: { ...call, action: is('callbackRetry') },
  callbacksDue: { ...read, action: is(null) },
  callbackContent: { ...read, action: is(null), weight: () => WATCH_WEIGHT },
  callbackReports: { ...call, action: is(null), weight: ({ reports }) => Math.max(1, reports.length) },
  models: { ...read, action: is('models'), readsRows: false, weight: () => LIST_WEIGHT },
  modelServed: { ...read, action: is('openai'), readsRows: false },
  joinable: { ...read, action: is(null) },
  queuePlace: { ...read, action: is(null) },
  queueTime: { ...read, action: is(null), readsRows: false },
  nodeKey: { ...read, action: is(null), readsRows: false },
  taskUser: { ...read, action: is(null) },
  modelRates: { ...watched, action: is('models') },
  overview: { ...watched, action: is('overview') },
  nodePage: { ...read, action: is('nodes'), weight: () => LIST_WEIGHT },
  nodeDetail: { ...read, action: is('nodes'), weight: () => LIST_WEIGHT },
  feedOpen: { ...watched, action: is('events') },
  feedClose: { ...watched, action: is(null) },
  configuration: { ...read, action: is('configuration'), readsRows: false },
  metrics: { ...watched, action: is('metrics') },
  taskTraces: { ...read, action: is(null), weight: ({ ended }) => Math.max(1, ended.length) },
  metricsOfCore: { ...watched, action: is(null) },
  started: { ...call, action: is(null) },
  refused: { ...call, action: is(null) },
  used: { ...call, action: is(null) },
  nodeHello: { ...call, action: is(null), readsRows: false, refusal: refusals.closeSession },
  nodeMessage: { ...call, action: is(null), writes: 'depends', readsRows: false, refusal: refusals.tellNode },
  nodeSeen: { ...call, action: is(null), writes: 'never', readsRows: false },
  nodeDisconnected: { ...call, action: is(null), readsRows: false },
  clientConnected: { ...call, action: is(null), writes: 'never', readsRows: false, queue: 'intake' },
  clientSubmissions: {
    ...call,
    action: is('submit'),
    readsRows: false,
    queue: 'intake',
    newWork: true,
    weight: ({ list }) => list.length,
    refusal: refusals.tellEachSubmission,
  },
  clientMessage: {
    ...call,
    action: ({ message: { type }, events = false }) =>
      type === 'task.watch' ? (events ? 'taskEvents' : 'watch') : type === 'task.cancel' ? 'cancel' : null,
    writes: 'depends',
    queue: 'intake',
    weight: () => WATCH_WEIGHT,
    refusal: refusals.tellClient,
  },
  clientDisconnected: { ...call, action: is(null), writes: 'never', readsRows: false, queue: 'intake' },
  tick: { ...call, action: is(null) },
  stop: { ...call, action: is(null), writes: 'never' },
} satisfies { [Name in Operation['op']]: OperationTraits<Extract<Operation, { op: Name }>> }

/** The row of an operation. That each row takes operations of its own name is what `satisfies` has checked. */
export const traitsOf = <O extends Operation>({ op }: O): OperationTraits<O> =>
  operationTraits[op] as OperationTraits<O>

/** What sessions are told when an operation came to nothing. */
export const refusalEffects = (operation: Operation, code: RefusalCode, message: string): Effect[] =>
  traitsOf(operation).refusal(operation, code, message)
