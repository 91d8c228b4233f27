import { toJsonSchema } from '@valibot/to-json-schema'
import { STATUS_CODES } from 'node:http'
import type * as v from 'valibot'
import { accessTable } from '../rules/access.js'
import { auditView, newTokenView, nodeKeyView, tokenView } from '../wire/access.js'
import { errors, type ErrorCode } from '../wire/codes.js'
import { submissionWarning, submitBody } from '../wire/rest.js'
import { delegationView, nodeView, statsView } from '../wire/service-answers.js'
import {
  paidTaskView,
  polledTaskView,
  refusedEntry,
  settlementView,
  submittedView,
  taskDetailView,
  taskLine,
  taskStatusView,
} from '../wire/task-answers.js'
import { fieldNotes } from './field-notes.js'
import type { Bare, Query, Route } from './route.js'
import { contract, IGNORED_QUERY, isTaskRoute, openPath } from './routes.js'

/** The version of the contract: its last number for what is added, its first for what programs have to be changed for. */
const VERSION = '1.0.0'

/** Schemas that are named in the document; others stand where they are used. */
const named: Readonly<Record<string, v.GenericSchema>> = {
  Submission: submitBody,
  Submitted: submittedView,
  SubmissionWarning: submissionWarning,
  RefusedEntry: refusedEntry,
  TaskLine: taskLine,
  TaskStatus: taskStatusView,
  TaskDetail: taskDetailView,
  PaidTask: paidTaskView,
  PolledTask: polledTaskView,
  Settlement: settlementView,
  Node: nodeView,
  NodeKey: nodeKeyView,
  Delegation: delegationView,
  Token: tokenView,
  NewToken: newTokenView,
  AuditEntry: auditView,
  Stats: statsView,
}

/** Refused before a route is asked: by who asks, how much, and how. */
const everywhere: readonly ErrorCode[] = [
  'invalid_request',
  'unauthorized',
  'forbidden',
  'forbidden_origin',
  'rate_limited',
  'unavailable',
  'stopping',
]
const ofBodies: readonly ErrorCode[] = ['too_large', 'unsupported_media_type']
/** Only where the service is too full for new tasks, or new nodes. */
const ofNewcomers: readonly ErrorCode[] = ['queue_full']

/** A JSON schema, as far as pages read it. */
export interface JsonSchema {
  $ref?: string
  type?: string
  description?: string
  enum?: unknown[]
  const?: unknown
  anyOf?: JsonSchema[]
  items?: JsonSchema
  properties?: Record<string, JsonSchema>
  required?: string[]
}
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
  tags: { name: string }[]
  /** By path, then by method. */
  paths: Record<string, Record<string, Operation>>
  components: {
    schemas: Record<string, JsonSchema>
    responses: Record<string, { description: string; content: Record<string, { schema: JsonSchema }> }>
  }
}

type Json = Record<string, unknown>
const ref = (kind: string, name: string) => ({ $ref: `#/components/${kind}/${name}` })

const names = new Map(Object.entries(named).map(([name, schema]) => [schema, name]))
/** A schema as JSON schema: of named ones in it there is a reference. Not by the definitions of the library, which it converts each time. */
const convert = (schema: v.GenericSchema): Json => {
  const { $schema: _, ...rest } = toJsonSchema(schema, {
    target: 'draft-2020-12',
    typeMode: 'input',
    errorMode: 'ignore',
    overrideSchema({ valibotSchema }) {
      const name = valibotSchema === schema ? undefined : names.get(valibotSchema)
      return name === undefined ? undefined : ref('schemas', name)
    },
  })
  return noted(rest) as Json
}
const jsonSchema = (schema: v.GenericSchema): Json => {
  const name = names.get(schema)
  return name === undefined ? convert(schema) : ref('schemas', name)
}

/** A JSON schema with what is known of its fields by their names. */
function noted(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(noted)
  if (typeof schema !== 'object' || schema === null) return schema
  return Object.fromEntries(
    Object.entries(schema).flatMap(([key, value]): [string, unknown][] => {
      if (key === 'required' && Array.isArray(value) && value.length === 0) return []
      if (key !== 'properties') return [[key, noted(value)]]
      const fields = Object.entries(value as Json).map(([name, field]) => [name, withNote(name, noted(field) as Json)])
      return [[key, Object.fromEntries(fields)]]
    }),
  )
}
const withNote = (name: string, schema: Json): Json => {
  const note = Object.hasOwn(fieldNotes, name) ? fieldNotes[name] : undefined
  return note === undefined || 'description' in schema ? schema : { description: note, ...schema }
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
const nameOfStatus = (status: number): string => (STATUS_CODES[status] ?? `Status${status}`).replace(/[^A-Za-z]/g, '')
const codesOf = (status: number): ErrorCode[] =>
  (Object.keys(errors) as ErrorCode[]).filter((code) => errors[code].status === status)
const requestId = { 'X-Request-Id': ref('headers', 'RequestId') }

/** The answers that are errors, one for each status. */
function errorResponses(): Json {
  const statuses = [...new Set(Object.values(errors).map(({ status }) => status))]
  return Object.fromEntries(
    statuses.map((status) => {
      const codes = codesOf(status)
      const retry = codes.some((code) => errors[code].retry)
      return [
        nameOfStatus(status),
        {
          description: codes.map((code) => `\`${code}\``).join(', '),
          headers: {
            ...requestId,
            ...(retry ? { 'Retry-After': ref('headers', 'RetryAfter') } : {}),
            ...(status === 401 ? { 'WWW-Authenticate': { schema: { const: 'Bearer' } } } : {}),
          },
          content: json(ref('schemas', 'Error')),
        },
      ]
    }),
  )
}

function responseOf(status: number, answer: v.GenericSchema | Bare | null, headers: Json): Json {
  const head = { description: STATUS_CODES[status] ?? '', headers: { ...requestId, ...headers } }
  if (answer === null) return head
  if (answer.kind === 'bare') {
    const schema = answer.schema === undefined ? { type: 'string' } : jsonSchema(answer.schema)
    return { ...head, content: Object.fromEntries(answer.media.map((media) => [media, { schema }])) }
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

function parametersOf({ path, query }: Route): Json[] {
  const names = [...openPath(path).matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
  const inPath = names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } }))
  return [...inPath.map((p) => ({ ...p, ...noteOf(p.name) })), ...(query === undefined ? [] : queryParameters(query))]
}
const noteOf = (name: string): Json => (Object.hasOwn(fieldNotes, name) ? { description: fieldNotes[name] } : {})

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

function operationOf(operationId: string, tag: string, route: Route): Json {
  const { body, answers, refuses = [], summary, description } = route
  const headers = isTaskRoute(route.path) ? { [IGNORED_QUERY]: ref('headers', 'IgnoredQuery') } : {}
  const codes = [...everywhere, ...(body === undefined ? [] : [...ofBodies, ...ofNewcomers]), ...refuses]
  const parameters = parametersOf(route)
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
        codes.map((code) => [errors[code].status, ref('responses', nameOfStatus(errors[code].status))]),
      ),
      ...Object.fromEntries(
        Object.entries(answers).map(([status, answer]) => [status, responseOf(Number(status), answer, headers)]),
      ),
      default: ref('responses', 'Other'),
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
    tags: Object.keys(contract).map((name) => ({ name })),
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
      responses: {
        ...errorResponses(),
        Other: { description: 'Any other error', headers: requestId, content: json(ref('schemas', 'Error')) },
      },
      schemas: {
        Error: failed({ type: 'null' }),
        ErrorCode: { type: 'string', enum: Object.keys(errors) },
        ...Object.fromEntries(Object.entries(named).map(([name, schema]) => [name, convert(schema)])),
      },
    },
  }
  return document as RestDocument
}
