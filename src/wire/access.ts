import ipaddr from 'ipaddr.js'
import * as v from 'valibot'
import { id, namesProblem, shortText } from './fields.js'
import { integerFrom } from './integer.js'
import type { TokenKind } from './token.js'

// What the calls about tokens, the audit and the keys of nodes take and answer: shared by the service and its command line.

const whole = (min: number, max: number = Number.MAX_SAFE_INTEGER, expected?: string) => integerFrom(min, max, expected)
const visible = <S extends v.GenericSchema<unknown, string>>(schema: S) =>
  v.pipe(
    schema,
    v.check((text) => namesProblem({ text }) === null, 'must have no control characters and no invisible ones'),
  )
const list = <S extends v.GenericSchema>(item: S, most: number, what: string) =>
  v.pipe(
    v.array(item, `must be a list of ${what}`),
    v.minLength(1, `must name at least one of its ${what}, or be left out`),
    v.maxLength(most, `must name at most ${most} ${what}`),
  )

const DAY_SECONDS = 86_400
const seconds = (min: number, days: number) =>
  whole(min, days * DAY_SECONDS, `must be ${min} to ${days * DAY_SECONDS} seconds (${days} days)`)

/** The public part of a token, by which it is named. */
export const tokenId = v.pipe(
  v.string('must be the id of a token'),
  v.regex(/^[0-9A-Za-z]{8}$/, 'must be the id of a token: 8 letters and digits, as "tokens list" shows it'),
)

const CIDR = 'must be a network such as "10.0.0.0/8" or "2001:db8::/32"; one address is "192.0.2.7/32"'
const isCidr = (text: string): boolean =>
  ipaddr.IPv4.isValidCIDRFourPartDecimal(text) ||
  (ipaddr.IPv6.isValidCIDR(text) && !ipaddr.IPv6.parseCIDR(text)[0].isIPv4MappedAddress())
/** A network, as its address and the length of its prefix. */
export const cidr = v.pipe(v.string(CIDR), v.check(isCidr, CIDR))

export const cidrList = list(cidr, 100, 'networks')
export const ownerList = list(visible(shortText(1, 256)), 100, 'addresses')
export const scopeList = v.array(v.picklist(['texts'], 'must be "texts"'), 'must be a list of scopes')

/** The limits of a token; one that is left out is as the default has it, null does not hold. */
export const tokenLimits = v.strictObject(
  {
    rate: v.optional(v.nullable(whole(1, 1_000_000))),
    bytes_per_second: v.optional(v.nullable(whole(1024))),
    unsent_bytes: v.optional(v.nullable(whole(1024))),
    max_pending: v.optional(v.nullable(whole(1))),
    tasks_per_day: v.optional(v.nullable(whole(1))),
    fee_per_day: v.optional(v.nullable(whole(0))),
    bytes_per_day: v.optional(v.nullable(whole(1))),
    models: v.optional(v.nullable(list(visible(shortText(1, 128)), 100, 'models'))),
  },
  'must be an object with limits',
)
/** The same as it is kept: an invite has a limit for the node that it lets in. */
export const keptLimits = v.strictObject({ ...tokenLimits.entries, slots_max: v.optional(whole(1, 1024)) })
/** Those that only hold for who submits tasks. */
const submitterLimits = ['max_pending', 'tasks_per_day', 'fee_per_day', 'bytes_per_day', 'models'] as const

const lifetime = v.optional(v.nullable(seconds(1, 3650)))

/** `POST /api/v1/tokens`. `expires_in`, seconds: left out, as the role has it; null: never. */
export const tokenBody = v.pipe(
  v.object(
    {
      role: v.picklist(
        ['admin', 'operator', 'user', 'viewer', 'metrics', 'node'],
        'must be one of admin, operator, user, viewer, metrics, node',
      ),
      name: visible(shortText(1, 128)),
      owners: v.optional(v.nullable(ownerList), null),
      scopes: v.optional(scopeList, []),
      limits: v.optional(tokenLimits, {}),
      cidrs: v.optional(v.nullable(cidrList), null),
      node_id: v.optional(v.nullable(id), null),
      expires_in: lifetime,
    },
    'must be a JSON object',
  ),
  v.check((t) => t.role !== 'user' || t.owners !== null, 'owners: a user needs the address it submits for'),
  v.check((t) => t.role === 'user' || t.owners === null, 'owners: only a user has any'),
  v.check((t) => t.role !== 'node' || t.node_id !== null, 'node_id: a node needs the node_id it speaks for'),
  v.check((t) => t.role === 'node' || t.node_id === null, 'node_id: only a node has one'),
  v.check((t) => t.role === 'operator' || t.scopes.length === 0, 'scopes: only an operator has any'),
  v.check(
    (t) => t.role === 'user' || submitterLimits.every((name) => t.limits[name] == null),
    `limits: only a user has ${submitterLimits.join(', ')}`,
  ),
)
export type TokenBody = v.InferOutput<typeof tokenBody>
/** The kind of a token, as its text names it, by its role. */
export const kindOfRole = {
  admin: 'adm',
  operator: 'opr',
  user: 'usr',
  viewer: 'viw',
  metrics: 'met',
  node: 'nod',
} as const satisfies Record<TokenBody['role'], TokenKind>

/** The same over REST: nobody can give away more than a command on the machine of the service can take back. */
export const restTokenBody = v.pipe(
  tokenBody,
  v.check(
    (t) => t.role !== 'admin',
    'role: an admin is made on the machine of the service: stacks-signer tokens create --role admin --config FILE',
  ),
)

export type RestTokenBody = v.InferOutput<typeof restTokenBody>

/** How long a token stays good beside the one that takes its place, unless it is said, seconds. */
const DEFAULT_OVERLAP_SECONDS = DAY_SECONDS
/** `POST /api/v1/tokens/{id}/rotate`. `overlap`: in seconds. */
export const rotateBody = v.object(
  { overlap: v.optional(seconds(0, 30), DEFAULT_OVERLAP_SECONDS) },
  'must be a JSON object',
)

/** `POST /api/v1/nodes/invites`. */
export const inviteBody = v.object(
  {
    name: v.optional(visible(shortText(1, 128)), 'invite'),
    uses: v.optional(whole(1, 10_000), 1),
    slots_max: v.optional(v.nullable(whole(1, 1024)), null),
    expires_in: v.optional(seconds(1, 30)),
  },
  'must be a JSON object',
)
export type InviteBody = v.InferOutput<typeof inviteBody>

/** `POST /api/v1/nodes/keys`: the text of a key, which its receiver normalizes. */
export const allowBody = v.object(
  { public_key: shortText(1, 256), slots_max: v.optional(v.nullable(whole(1, 1024)), null) },
  'must be a JSON object',
)
/** `POST /api/v1/nodes/{id}/ban`: the id is a node's, or a key. */
export const banBody = v.object(
  { reason: v.optional(v.nullable(visible(shortText(1, 256))), null) },
  'must be a JSON object',
)
/** `POST /api/v1/nodes/{id}/rekey`. */
export const rekeyBody = v.object({ public_key: shortText(1, 256) }, 'must be a JSON object')

const cursor = v.pipe(
  v.string(),
  v.regex(/^[0-9]{1,15}$/, 'must be a next_cursor of an earlier page'),
  v.transform(Number),
)
const MAX_PAGE = 1000
const pageLimit = v.optional(
  v.pipe(
    v.string(),
    v.regex(/^[0-9]{1,4}$/, `must be an integer from 1 to ${MAX_PAGE}`),
    v.transform(Number),
    whole(1, MAX_PAGE),
  ),
  '100',
)

/** The query of `GET /api/v1/tokens`. */
export const tokensQuery = v.object({ cursor: v.optional(cursor), limit: pageLimit })
/** The query of `GET /api/v1/audit`: newest first, or from `after` on the oldest first, without a filter. */
export const auditQuery = v.pipe(
  v.object({
    actor: v.optional(shortText(1, 256)),
    action: v.optional(shortText(1, 64)),
    subject: v.optional(shortText(1, 256)),
    cursor: v.optional(cursor),
    after: v.optional(cursor),
    limit: pageLimit,
  }),
  v.check(
    (q) => q.after === undefined || [q.actor, q.action, q.subject, q.cursor].every((given) => given === undefined),
    'after: goes without cursor, actor, action and subject',
  ),
)

// Answers. A service may say more than this version knows: it is kept for --json.

const time = v.nullable(v.number())
/** A token as it is shown: everything but its secret. */
export const tokenView = v.looseObject({
  id: v.string(),
  /** Also `invite`. */
  role: v.string(),
  name: v.string(),
  state: v.string(),
  owners: v.nullable(v.array(v.string())),
  scopes: v.array(v.string()),
  limits: v.record(v.string(), v.unknown()),
  cidrs: v.nullable(v.array(v.string())),
  node_id: v.nullable(v.string()),
  uses_left: v.nullable(v.number()),
  created_at: v.number(),
  created_by: v.string(),
  expires_at: time,
  revoked_at: time,
  replaced_by: v.nullable(v.string()),
  last_used_at: time,
})
export type TokenView = v.InferOutput<typeof tokenView>
/** A new token: the only time that its secret is shown, as `token`. */
export const newTokenView = v.looseObject({ ...tokenView.entries, token: v.string() })
export type NewTokenView = v.InferOutput<typeof newTokenView>
export const tokensPage = v.looseObject({ tokens: v.array(tokenView), next_cursor: v.nullable(v.string()) })

/** What is known of a node's key. */
export const nodeKeyView = v.looseObject({
  public_key: v.string(),
  state: v.string(),
  node_id: v.nullable(v.string()),
  invited_by: v.nullable(v.string()),
  slots_max: v.nullable(v.number()),
  reason: v.nullable(v.string()),
  replaced_by: v.nullable(v.string()),
  first_seen: v.number(),
  /** What ends its probation. Services of earlier versions do not say it. */
  good_results: v.optional(v.number()),
  good_since: v.optional(time),
  changed_at: v.number(),
  changed_by: v.string(),
})
export type NodeKeyView = v.InferOutput<typeof nodeKeyView>

/** A row of the audit. */
export const auditView = v.looseObject({
  seq: v.number(),
  /** Unix ms. */
  at_ms: v.number(),
  actor: v.string(),
  address: v.nullable(v.string()),
  action: v.string(),
  subject: v.nullable(v.string()),
  detail: v.record(v.string(), v.unknown()),
  request_id: v.nullable(v.string()),
  outcome: v.string(),
  prev_hash: v.string(),
  hash: v.string(),
})
export type AuditView = v.InferOutput<typeof auditView>
export const auditPage = v.looseObject({ entries: v.array(auditView), next_cursor: v.nullable(v.string()) })
