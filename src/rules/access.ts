// Who may do what: one table, and the one question that is asked of it.
import type { Principal } from './principal.js'
import type { Role } from './roles.js'

/** Everything that is asked of the service, over REST, in a session or by what a signed body proves. */
export const actions = [
  'health',
  'documents',
  'connect',
  'signIn',
  'encryptionKey',
  'stats',
  'metrics',
  'alerts',
  'nodes',
  'submit',
  'taskSession',
  'openai',
  'task',
  'taskDetail',
  'watch',
  'taskEvents',
  'receipt',
  'cancel',
  'retry',
  'list',
  'settlements',
  'taskOfTx',
  'settlementRetry',
  'callbacks',
  'callbackRetry',
  'delegations.add',
  'delegations.list',
  'delegations.revoke',
  'models',
  'overview',
  'events',
  'configuration',
  'register',
  'heartbeat',
  'poll',
  'complete',
  'fail',
  'nodeSession',
  'drain',
  'resume',
  'forget',
  'nodes.invite',
  'nodes.allow',
  'nodes.ban',
  'nodes.rekey',
  'tokens.create',
  'tokens.list',
  'tokens.revoke',
  'tokens.rotate',
  'audit.list',
  'backup',
] as const
export type Action = (typeof actions)[number]

/**
 * How far a role may go with an action.
 * all: everything of it. own: what belongs to it, its tasks or its node. anonymous: as own, and only where `anonymous_submit` is
 * on. published: only where `public_stats` is on. noTexts: everything, without texts and without who submitted it. scoped:
 * everything, the texts only with the scope `texts`. noKeys: everything but endpoints, keys and addresses of nodes.
 */
export type Reach = 'all' | 'own' | 'anonymous' | 'published' | 'noTexts' | 'scoped' | 'noKeys'

type Row = Partial<Record<Role, Reach>>

const everybody: Row = {
  public: 'all',
  metrics: 'all',
  viewer: 'all',
  user: 'all',
  node: 'all',
  operator: 'all',
  admin: 'all',
}
const submitters: Row = { public: 'anonymous', user: 'own', admin: 'all' }
const readers: Row = { viewer: 'noTexts', user: 'own', operator: 'scoped', admin: 'all' }
const ownNode: Row = { node: 'own' }
const operators: Row = { operator: 'all', admin: 'all' }
const onlookers: Row = { viewer: 'noTexts', ...operators }
const admins: Row = { admin: 'all' }

/** The table: what is not in a row is not allowed. */
export const accessTable: Readonly<Record<Action, Readonly<Row>>> = {
  health: everybody,
  /** Pages and documents: `/docs`, `openapi.json`, `asyncapi.json`, the page of the dashboard. What they show they ask for. */
  documents: everybody,
  /** The upgrade to a session. Who it is says its token, or its first message; that is judged as `taskSession` or `nodeSession`. */
  connect: everybody,
  /** A wallet asks for its challenge, and shows the signature. */
  signIn: everybody,
  encryptionKey: everybody,
  stats: { ...everybody, public: 'published' },
  metrics: { metrics: 'all', viewer: 'all', ...operators },
  alerts: { viewer: 'all', ...operators },
  nodes: { viewer: 'noKeys', user: 'noKeys', node: 'noKeys', ...operators },
  submit: submitters,
  taskSession: submitters,
  openai: submitters,
  task: readers,
  taskDetail: readers,
  watch: readers,
  taskEvents: submitters,
  receipt: { public: 'anonymous', user: 'own', ...operators },
  cancel: { user: 'own', ...operators },
  /** Counts as a submission. */
  retry: { user: 'own', ...operators },
  list: readers,
  settlements: operators,
  /** A miner that holds its transaction asks how it stands. Nothing of it is shown that the chain does not tell. */
  taskOfTx: everybody,
  settlementRetry: operators,
  callbacks: { operator: 'scoped', admin: 'all' },
  callbackRetry: { user: 'own', operator: 'scoped', admin: 'all' },
  /** Who has the signature of the owner of an address: it says all that has to be known. */
  'delegations.add': everybody,
  'delegations.list': operators,
  'delegations.revoke': operators,
  models: { viewer: 'all', user: 'all', ...operators },
  overview: onlookers,
  events: onlookers,
  /** How the service is set up, without secrets. */
  configuration: operators,
  register: ownNode,
  heartbeat: ownNode,
  poll: ownNode,
  complete: ownNode,
  fail: ownNode,
  nodeSession: ownNode,
  drain: { node: 'own', ...operators },
  resume: { node: 'own', ...operators },
  forget: admins,
  'nodes.invite': operators,
  'nodes.allow': operators,
  'nodes.ban': operators,
  'nodes.rekey': operators,
  'tokens.create': admins,
  'tokens.list': admins,
  'tokens.revoke': admins,
  'tokens.rotate': admins,
  'audit.list': admins,
  backup: admins,
}

/** The settings that the table leaves a choice to. */
export interface AccessPolicy {
  /** Whether who shows no token may submit. */
  anonymousSubmit: boolean
  /** Whether who shows no token may read the counters. */
  publicStats: boolean
}

/** What is allowed of an action, and how much of it is shown. */
export interface Grant {
  /** Only what belongs to the principal: see `ownsTask` and `ownsNode`. */
  own: boolean
  /** Prompts, contexts, outputs and what nodes said of failures. */
  texts: boolean
  /** Who submitted a task. */
  submitter: boolean
  /** Endpoints, keys and addresses of nodes. */
  keys: boolean
}

const everything: Grant = { own: false, texts: true, submitter: true, keys: true }

/** Whether a principal may do something, and how far; null when it may not. Whose it is, is for `ownsTask` and `ownsNode`. */
export function may(
  { role, scopes }: Pick<Principal, 'role' | 'scopes'>,
  action: Action,
  policy: AccessPolicy,
): Grant | null {
  if (role === 'open') return everything
  const reach = accessTable[action][role]
  switch (reach) {
    case undefined:
      return null
    case 'all':
      return everything
    case 'own':
      return { ...everything, own: true, keys: false }
    case 'anonymous':
      return policy.anonymousSubmit ? { ...everything, own: true, keys: false } : null
    case 'published':
      return policy.publicStats ? everything : null
    case 'noTexts':
      return { own: false, texts: false, submitter: false, keys: false }
    case 'scoped':
      return { ...everything, texts: scopes.includes('texts') }
    case 'noKeys':
      return { ...everything, keys: false }
  }
}
