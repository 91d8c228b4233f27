/** What the page asks of the service, in the words of its table of who may do what. */
export type Right =
  | 'overview'
  | 'events'
  | 'models'
  | 'nodes'
  | 'list'
  | 'taskDetail'
  | 'taskEvents'
  | 'alerts'
  | 'metrics'
  | 'configuration'
  | 'cancel'
  | 'retry'
  | 'drain'
  | 'resume'
  | 'forget'

/** Who looks: anybody, where the service asks nobody; else by the kind of the token. */
export type Role = 'open' | 'admin' | 'operator' | 'viewer' | 'user' | 'node' | 'metrics'

const looks = ['overview', 'events', 'models', 'nodes', 'list', 'taskDetail', 'alerts', 'metrics'] as const
const leads = [...looks, 'configuration', 'cancel', 'retry', 'drain', 'resume'] as const
const everything = [...leads, 'taskEvents', 'forget'] as const

/**
 * What each may do, as far as the page shows it: what is not in it has no button and no text. The service judges by its own table; a
 * test holds this one against it.
 */
export const rights: Readonly<Record<Role, readonly Right[]>> = {
  open: everything,
  admin: everything,
  operator: leads,
  viewer: looks,
  user: ['models', 'nodes', 'list', 'taskDetail', 'taskEvents', 'cancel', 'retry'],
  node: ['nodes'],
  metrics: ['metrics'],
}

const kinds: Readonly<Record<string, Role>> = {
  adm: 'admin',
  opr: 'operator',
  usr: 'user',
  viw: 'viewer',
  met: 'metrics',
  nod: 'node',
}
/** The role that a token says it has; null where it is none of a role. */
export const roleOfToken = (token: string): Role | null => kinds[/^sis_([a-z]{3})_/.exec(token)?.[1] ?? ''] ?? null
