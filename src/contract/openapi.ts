import type * as v from 'valibot'
import { accessTable } from '../rules/access.js'
import { errors, type ErrorCode } from '../wire/codes.js'
import { jsonSchema, namedSchemas, noteOf, ref, type Json, type JsonSchema } from './json-schemas.js'
import type { Bare, Query, Route } from './route.js'
import { contract, IGNORED_QUERY, isTaskRoute, openPath, subjects } from './routes.js'

/** The version of the contract: its last number for what is added, its first for what programs have to be changed for. */
const VERSION = '1.0.0'

/** Refused before a route is asked: by who asks, how much, and how. */
const everywhere: readonly ErrorCode[] = [
  'invalid_request',
  'unauthorized',
  'forbidden',
  'forbidden_origin',
  'rate_limited',
  'internal',
  'unavailable',
  'stopping',
]
const ofBodies: readonly ErrorCode[] = ['too_large', 'unsupported_media_type']
/** Only where the service is too full for new tasks, or new nodes. */
const ofNewcomers: readonly ErrorCode[] = ['queue_full']

export interface Operation {
  operationId: string
  tags: string[]
  summary: string
  description?: string
  'x-roles'?: Record<string, string>
  parameters?: { name: string; in: string; required: boolean; description?: string; schema: JsonSchema }[]
  requestBody?: { content: Record<string, { schema: JsonSchema }> }
  responses: Record<string, { $ref?: string; content?: Record<string, { schema: JsonSchema }> }>
}
export interface RestDocument {
  openapi: string
  info: { title: string; version: string; description: string }
  tags: { name: string; description: string }[]
  /** By path, then by method. */
  paths: Record<string, Record<string, Operation>>
  components: {
    schemas: Record<string, JsonSchema>
    responses: Record<string, { description: string; content: Record<string, { schema: JsonSchema }> }>
  }
}

/** The envelope of every answer, around a schema. */
const enveloped = (data: Json): Json => ({
  type: 'object',
  properties: { success: { const: true }, data, error: { type: 'null' } },
  required: ['success', 'data', 'error'],
})
const failed = (data: Json): Json => ({
  type: 'object',
  properties: {
    success: { const: false },
    data,
    error: { type: 'string', description: 'A sentence for a person' },
    code: ref('schemas', 'ErrorCode'),
  },
  required: ['success', 'data', 'error', 'code'],
})

const json = (schema: Json): Json => ({ 'application/json': { schema } })
const codesOf = (status: number): ErrorCode[] =>
  (Object.keys(errors) as ErrorCode[]).filter((code) => errors[code].status === status)
/** What the errors of a status are called: as the first of them, `InvalidRequest`. */
const nameOfStatus = (status: number): string =>
  (codesOf(status)[0] ?? '').replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())
/** Of those that are no errors. Not by the words of node:http, which change with its version. */
const meanings: Readonly<Record<number, string>> = {
  101: 'The session is open',
  204: 'There is nothing to show',
  304: 'It is unchanged',
}
const inCode = (codes: readonly string[]): string => codes.map((code) => `\`${code}\``).join(', ')
const requestId = { 'X-Request-Id': ref('headers', 'RequestId') }

const allRoutes = (): Route[] => Object.values(contract).flatMap((table) => Object.values<Route>(table))

/** The answers that are errors, one for each status that routes name; and one for the rest. */
function errorResponses(): Json {
  const refused = [...everywhere, ...ofBodies, ...ofNewcomers, ...allRoutes().flatMap(({ refuses = [] }) => refuses)]
  const statuses = [...new Set(refused.map((code) => errors[code].status))].sort((a, b) => a - b)
  const others = (Object.keys(errors) as ErrorCode[]).filter((code) => !statuses.some((s) => s === errors[code].status))
  const other = `Any other error: ${inCode(others)}, or one of other routes`
  return Object.fromEntries([
    ['Other', { description: other, headers: requestId, content: json(ref('schemas', 'Error')) }],
    ...statuses.map((status): [string, Json] => {
      const codes = codesOf(status)
      const retry = codes.some((code) => errors[code].retry)
      return [
        nameOfStatus(status),
        {
          description: inCode(codes),
          headers: {
            ...requestId,
            ...(retry ? { 'Retry-After': ref('headers', 'RetryAfter') } : {}),
            ...(status === 401 ? { 'WWW-Authenticate': { schema: { const: 'Bearer' } } } : {}),
          },
          content: json(ref('schemas', 'Error')),
        },
      ]
    }),
  ])
}

function responseOf(status: number, answer: v.GenericSchema | Bare | null, headers: Json): Json {
  const head = {
    description: meanings[status] ?? (status < 400 ? 'Done' : inCode(codesOf(status))),
    headers: { ...requestId, ...headers },
  }
  if (answer === null) return head
  if (answer.kind === 'bare') {
    const schemaOf = (media: string): Json =>
      media === 'application/json' && answer.schema !== undefined ? jsonSchema(answer.schema) : { type: 'string' }
    return { ...head, content: Object.fromEntries(answer.media.map((media) => [media, { schema: schemaOf(media) }])) }
  }
  const data = jsonSchema(answer)
  return {
    ...head,
    content: json(status < 400 ? enveloped(data) : failed({ anyOf: [data, { type: 'null' }] })),
  }
}

/** Whether a route is open to who shows nothing: always, by the settings of the service, or never. */
function securityOf({ action, signable }: Route): Json[] {
  const open = action === 'signature' ? 'all' : accessTable[action].public
  if (open === 'all') return []
  return open === undefined && signable !== true ? [{ token: [] }] : [{ token: [] }, {}]
}
const rolesOf = ({ action }: Route): Json => (action === 'signature' ? {} : { 'x-roles': accessTable[action] })

function parametersOf({ path, query, headers = {} }: Route): Json[] {
  const names = [...openPath(path).matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
  const inPath = names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } }))
  const inHeader = Object.entries(headers).map(([name, description]) => ({
    name,
    in: 'header',
    required: false,
    description,
    schema: { type: 'string' },
  }))
  return [
    ...inPath.map((p) => ({ ...p, ...noteOf(p.name) })),
    ...(query === undefined ? [] : queryParameters(query)),
    ...inHeader,
  ]
}
const queryParameters = ({ entries }: Query): Json[] =>
  Object.entries(entries).map(([name, entry]) => {
    const { anyOf, ...schema }: Json & { anyOf?: Json[] } = jsonSchema(entry)
    // A query has no null: it is left out.
    const [given, ...others] = anyOf?.filter(({ type }) => type !== 'null') ?? []
    return {
      name,
      in: 'query',
      required: !['optional', 'nullish', 'exact_optional'].includes(entry.type),
      ...noteOf(name),
      schema: others.length === 0 ? { ...given, ...schema } : { ...schema, anyOf: [given, ...others] },
    }
  })

/** A route as the document has it. */
export function operationOf(operationId: string, tag: string, route: Route): Json {
  const { body, answers, failure, refuses = [], summary, description } = route
  const headers = isTaskRoute(route.path) ? { [IGNORED_QUERY]: ref('headers', 'IgnoredQuery') } : {}
  const codes = [...everywhere, ...(body === undefined ? [] : [...ofBodies, ...ofNewcomers]), ...refuses]
  const parameters = parametersOf(route)
  const errorOf = (name: string, description: string): Json =>
    failure === undefined
      ? ref('responses', name)
      : { description, headers: requestId, content: json(jsonSchema(failure)) }
  return {
    operationId,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security: securityOf(route),
    ...rolesOf(route),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: json(jsonSchema(body)) } }),
    responses: {
      ...Object.fromEntries(
        codes.map((code) => {
          const { status } = errors[code]
          return [status, errorOf(nameOfStatus(status), inCode(codesOf(status)))]
        }),
      ),
      ...Object.fromEntries(
        Object.entries(answers).map(([status, answer]) => [status, responseOf(Number(status), answer, headers)]),
      ),
      default: errorOf('Other', 'Any other error'),
    },
  }
}

function pathsOf(): Json {
  const paths: Record<string, Json> = {}
  for (const [tag, table] of Object.entries(contract)) {
    for (const [operationId, route] of Object.entries<Route>(table)) {
      const path = openPath(route.path)
      paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(operationId, tag, route) }
    }
  }
  return paths
}

const DESCRIPTION = `Submitters of inference tasks, nodes that poll, and operators ask the service over HTTP.
Every answer is \`{"success", "data", "error"}\`; an error has a stable \`code\` as well. Readers pass over fields that they do not know: answers gain some with time.
A GET may be asked with HEAD too, but for the poll. Where authentication is off, nobody needs a token. \`x-roles\` says which role may ask, and how far.`

/** The REST contract as an OpenAPI 3.1 document, made from the table that the routes are served from. */
export function restDocument(): RestDocument {
  const document: object = {
    openapi: '3.1.1',
    info: {
      title: 'Stacks inference service',
      version: VERSION,
      description: DESCRIPTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    tags: Object.entries(subjects).map(([name, description]) => ({ name, description })),
    paths: pathsOf(),
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'A token of the service: `sis_...`' } },
      headers: {
        RequestId: { description: 'Names the request in the log of the service', schema: { type: 'string' } },
        RetryAfter: { description: 'When to ask again, seconds', schema: { type: 'string', pattern: '^\\d+$' } },
        IgnoredQuery: {
          description: 'Names of parameters in the query that the route does not know, percent-encoded, at most 10',
          schema: { type: 'string' },
        },
      },
      responses: errorResponses(),
      schemas: {
        Error: failed({ type: 'null' }),
        ErrorCode: { type: 'string', enum: Object.keys(errors) },
        ...namedSchemas(),
      },
    },
  }
  return document as RestDocument
}
