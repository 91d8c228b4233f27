import type * as v from 'valibot'
import { errors, type ErrorCode } from '../wire/codes.js'
import { answerHeaders, headerComponent, IGNORED_QUERY, type AnswerHeader } from './answer-headers.js'
import { jsonSchema, ref, type Json } from './json-schemas.js'
import { EVENT_STREAM, type Bare, type Route } from './route.js'
import { contract, isTaskRoute } from './routes.js'

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
  'not_owner',
]
const ofBodies: readonly ErrorCode[] = ['too_large', 'unsupported_media_type']
/** Only where the service is too full for new tasks, or new nodes. */
const ofNewcomers: readonly ErrorCode[] = ['queue_full']

/** The envelope of every answer, around a schema. */
const enveloped = (data: Json): Json => ({
  type: 'object',
  properties: { success: { const: true }, data, error: { type: 'null' } },
  required: ['success', 'data', 'error'],
})
export const failed = (data: Json): Json => ({
  type: 'object',
  properties: {
    success: { const: false },
    data,
    error: { type: 'string', description: 'A sentence for a person' },
    code: ref('schemas', 'ErrorCode'),
    owner: {
      anyOf: [{ type: 'string' }, { type: 'null' }],
      description: 'With `not_owner`: the URL of the service that has the work; null where nobody knows it',
    },
  },
  required: ['success', 'data', 'error', 'code'],
})

export const json = (schema: Json): Json => ({ 'application/json': { schema } })
const codesOf = (status: number): ErrorCode[] =>
  (Object.keys(errors) as ErrorCode[]).filter((code) => errors[code].status === status)
/** What the errors of a status are called: as the first of them, `InvalidRequest`. */
const nameOfStatus = (status: number): string =>
  (codesOf(status)[0] ?? '').replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())
/** Of a status that the codes of errors do not have. */
const OWN_ERROR = 'What its `code` says'
/** Of those that are no errors. Not by the words of node:http, which change with its version. */
const meanings: Readonly<Record<number, string>> = {
  101: 'The session is open',
  204: 'There is nothing to show',
  304: 'It is unchanged',
}
const inCode = (codes: readonly string[]): string => codes.map((code) => `\`${code}\``).join(', ')
/** Headers of an answer, by reference. */
const headersOf = (names: readonly AnswerHeader[]): Json =>
  Object.fromEntries(['X-Request-Id' as const, ...names].map((name) => [name, ref('headers', headerComponent(name))]))
const headersOfCode = (code: ErrorCode): readonly AnswerHeader[] => [
  ...(errors[code].retry ? (['Retry-After'] as const) : []),
  ...(code === 'rate_limited' ? (['RateLimit', 'RateLimit-Policy'] as const) : []),
]
/** Those of an error. */
const errorHeaders = (codes: readonly ErrorCode[], more: readonly AnswerHeader[] = []): Json => ({
  ...headersOf([...codes.flatMap((code) => headersOfCode(code)), ...more]),
  ...(codes.includes('unauthorized') ? { 'WWW-Authenticate': { schema: { const: 'Bearer' } } } : {}),
})

const allRoutes = (): Route[] => Object.values(contract).flatMap((table) => Object.values<Route>(table))

/** The components that are errors: one for each status that routes name; and one for the rest. */
export function errorResponses(): Json {
  const refused = [...everywhere, ...ofBodies, ...ofNewcomers, ...allRoutes().flatMap(({ refuses = [] }) => refuses)]
  const statuses = [...new Set(refused.map((code) => errors[code].status))].sort((a, b) => a - b)
  const others = (Object.keys(errors) as ErrorCode[]).filter((code) => !statuses.some((s) => s === errors[code].status))
  const other = `Any other error: ${inCode(others)}, or one of other routes`
  return Object.fromEntries([
    ['Other', { description: other, headers: headersOf([]), content: json(ref('schemas', 'Error')) }],
    ...statuses.map((status): [string, Json] => {
      const codes = codesOf(status)
      return [
        nameOfStatus(status),
        {
          description: inCode(codes),
          headers: errorHeaders(codes),
          content: json(ref('schemas', 'Error')),
        },
      ]
    }),
  ])
}

const schemaOf = (media: string, { schema, event }: Bare): Json => {
  if (media === 'application/json' && schema !== undefined) return jsonSchema(schema)
  if (media !== EVENT_STREAM || event === undefined) return { type: 'string' }
  return { type: 'string', contentMediaType: media, contentSchema: { type: 'array', items: jsonSchema(event) } }
}
const describe = (status: number): string =>
  meanings[status] ?? (status < 400 ? 'Done' : inCode(codesOf(status)) || OWN_ERROR)

function responseOf(status: number, answer: v.GenericSchema | Bare | null, says: readonly AnswerHeader[]): Json {
  const headers = status < 400 ? headersOf(says) : errorHeaders(codesOf(status), says)
  const head = { description: describe(status), headers }
  if (answer === null) return head
  if (answer.kind === 'bare') {
    const content = answer.media.map((media) => [media, { schema: schemaOf(media, answer) }])
    return { ...head, content: Object.fromEntries(content) }
  }
  const data = jsonSchema(answer)
  return { ...head, content: json(status < 400 ? enveloped(data) : failed({ anyOf: [data, { type: 'null' }] })) }
}

/** What a route answers, by status. */
export function responsesOf({ path, body, answers, failure, refuses = [], says = [] }: Route): Json {
  const all: readonly AnswerHeader[] = isTaskRoute(path) ? [...says, IGNORED_QUERY] : says
  const codes = [...everywhere, ...(body === undefined ? [] : [...ofBodies, ...ofNewcomers]), ...refuses]
  const errorOf = (status: number): Json =>
    failure === undefined
      ? ref('responses', nameOfStatus(status))
      : {
          description: describe(status),
          headers: errorHeaders(codesOf(status), says),
          content: json(jsonSchema(failure)),
        }
  const other =
    failure === undefined
      ? ref('responses', 'Other')
      : { description: 'Any other error', headers: headersOf(says), content: json(jsonSchema(failure)) }
  return {
    ...Object.fromEntries(codes.map((code) => [errors[code].status, errorOf(errors[code].status)])),
    ...Object.fromEntries(
      Object.entries(answers).map(([status, answer]) => [status, responseOf(Number(status), answer, all)]),
    ),
    default: other,
  }
}

/** The headers of answers, as components. */
export const headerComponents = (): Json =>
  Object.fromEntries(
    Object.entries<{ description: string; pattern?: string }>(answerHeaders).map(([name, { description, pattern }]) => [
      headerComponent(name as AnswerHeader),
      { description, schema: { type: 'string', ...(pattern === undefined ? {} : { pattern }) } },
    ]),
  )
