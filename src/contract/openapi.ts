import { accessTable } from '../rules/access.js'
import { errors } from '../wire/codes.js'
import { jsonSchema, namedSchemas, noteOf, ref, type Json, type JsonSchema } from './json-schemas.js'
import { errorResponses, failed, headerComponents, json, responsesOf } from './responses.js'
import type { Query, Route } from './route.js'
import { contract, openPath, subjects } from './routes.js'

/** The version of the contract: its last number for what is added, its first for what programs have to be changed for. */
const VERSION = '1.0.0'

export interface Operation {
  operationId: string
  tags: string[]
  summary: string
  description?: string
  'x-roles'?: Record<string, string>
  parameters?: { name: string; in: string; required: boolean; description?: string; schema: JsonSchema }[]
  callbacks?: Record<string, { $ref: string }>
  requestBody?: { content: Record<string, { schema: JsonSchema }> }
  responses: Record<
    string,
    { $ref?: string; headers?: Record<string, unknown>; content?: Record<string, { schema: JsonSchema }> }
  >
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
  const { body, callsBack, summary, description } = route
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
    responses: responsesOf(route),
    ...(callsBack === true ? { callbacks: { taskEnded: ref('callbacks', 'TaskEnded') } } : {}),
  }
}

/** What is posted to who is told of an end: see docs/rest.md. */
const taskEnded: Json = {
  '{$request.body#/callback_url}': {
    post: {
      operationId: 'taskEnded',
      tags: ['Callbacks'],
      summary: 'A task has ended',
      description:
        'Signed as Standard Webhooks are. Taken where it is answered with 2xx within 10 seconds; 410 ends it; else it is sent again, for a day at most.',
      security: [],
      parameters: Object.entries({
        'webhook-id': 'The same in all tries',
        'webhook-timestamp': 'When this try was sent, Unix seconds',
        'webhook-signature': '`v1,` and the base64 of an HMAC-SHA256 of id, timestamp and body',
      }).map(([name, description]) => ({
        name,
        in: 'header',
        required: true,
        description,
        schema: { type: 'string' },
      })),
      requestBody: { required: true, content: json(ref('schemas', 'CallbackMessage')) },
      responses: { '2XX': { description: 'Taken' }, 410: { description: 'The receiver wants no more of it' } },
    },
  },
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
      headers: headerComponents(),
      callbacks: { TaskEnded: taskEnded },
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
