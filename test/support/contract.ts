import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import { restDocument } from '../../src/contract/openapi.js'
import { IGNORED_QUERY } from '../../src/contract/answer-headers.js'
import { EVENT_STREAM, type Route } from '../../src/contract/route.js'
import { contract, isTaskRoute, openPath } from '../../src/contract/routes.js'
import { errors, type ErrorCode } from '../../src/wire/codes.js'

// Holds every answer that a test gets against the document of the contract.

const escapePointer = (key: string): string => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'))

/** The document as it is meant for the service: an answer has nothing that is not in it. Readers take more. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]))
  const isObject = inner['type'] === 'object' && typeof inner['properties'] === 'object' && inner['properties'] !== null
  const isOpen = isObject && Object.keys(inner['properties'] as object).length === 0
  return isObject && !isOpen ? { ...inner, additionalProperties: false } : inner
}

/** As the service writes times that are text. */
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const ID = 'openapi'
interface Answered {
  $ref?: string
  headers?: Record<string, unknown>
  content?: Record<string, unknown>
}
const document = closed(restDocument()) as {
  paths: Record<string, Record<string, { responses: Record<string, Answered> }>>
  components: { responses: Record<string, Answered> }
}
const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { 'date-time': ISO_TIME } })
ajv.addSchema(document, ID)
/** As it is published: what is sent may have fields that nobody reads. */
const PUBLISHED = 'published'
ajv.addSchema(restDocument(), PUBLISHED)
const compiled = new Map<string, ValidateFunction>()
const validatorOf = (pointer: string, id = ID): ValidateFunction => {
  const known = compiled.get(id + pointer)
  if (known !== undefined) return known
  const made = ajv.compile({ $ref: `${id}#${pointer}` })
  compiled.set(id + pointer, made)
  return made
}

/** The routes with their paths as patterns, those with names before those with parameters. */
const routes = Object.values(contract)
  .flatMap((table) => Object.values<Route>(table))
  .sort((a, b) => Number(a.path.includes(':')) - Number(b.path.includes(':')))
  .map((route) => ({
    route,
    open: openPath(route.path),
    pattern: new RegExp(`^${route.path.replace(/:\w+(?:\{(.*)\})?/g, (_, own?: string) => own ?? '[^/]+')}$`),
  }))

const ERROR = '/components/schemas/Error'
/** Under this path errors have another form, whatever is asked for. */
const OTHER_ERRORS = { path: '/v1/', pointer: '/components/schemas/OpenAiError' }
/** What a request is refused with before it is known which route it is for, or when that fails. */
const ANYWHERE = [408, 421, 431]
/** Statuses that a route has only by its own refusals, which it has to name. */
const OWN = [404, 409, 410, 426]

/** What HTTP, its safety and its connections need, and so is not said of any route. Lower case. */
const COMMON_HEADERS = new Set([
  'allow',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-security-policy',
  'content-type',
  'date',
  'keep-alive',
  'referrer-policy',
  'sec-websocket-version',
  'strict-transport-security',
  'transfer-encoding',
  'upgrade',
  'vary',
  'x-accel-buffering',
  'x-content-type-options',
])
/** The header of an answer that the document does not have; null where there is none. */
function unsaidHeader({ $ref, headers = {} }: Answered, given: Headers, path: string): string | null {
  const component = $ref === undefined ? undefined : document.components.responses[$ref.split('/').at(-1) ?? '']
  const said = new Set(Object.keys(component?.headers ?? headers).map((name) => name.toLowerCase()))
  if (isTaskRoute(path)) said.add(IGNORED_QUERY.toLowerCase())
  const isSaid = (name: string): boolean =>
    said.has(name) || COMMON_HEADERS.has(name) || name.startsWith('access-control-')
  return [...given.keys()].find((name) => !isSaid(name)) ?? null
}

/** An answer with the JSON that is its body; null where there is none. */
interface GivenAnswer {
  status: number
  headers: Headers
  body: unknown
}

/** @throws where an answer is not as the document has it */
export function expectDocumented(method: string, url: string, answer: GivenAnswer): void {
  const difference = differenceOf(method, url, answer)
  if (difference !== null) throw new Error(`docs/openapi.json does not have this answer: ${difference}`)
}

const routeOf = (method: string, url: string) => {
  const path = url.replace(/[?#].*$/, '')
  return routes.find(({ route, pattern }) => route.method === method && pattern.test(path))
}

/** Where an answer differs from the document, as a sentence; null where it does not. */
export function differenceOf(method: string, url: string, { status, headers, body }: GivenAnswer): string | null {
  const path = url.replace(/[?#].*$/, '')
  const found = routeOf(method, url)
  const what = `${method} ${found?.open ?? path}: ${status}`
  const errorAt = path.startsWith(OTHER_ERRORS.path) ? OTHER_ERRORS.pointer : ERROR
  const inBody = (): string => `, in ${JSON.stringify(body).slice(0, 2000)}`
  const check = (pointer: string): string | null => {
    const type = headers.get('content-type')
    if (type !== 'application/json') return `${what} is ${type}, not JSON`
    const validate = validatorOf(pointer)
    return validate(body) ? null : `${what}: ${(validate.errors ?? []).map(shown).join('; ')}${inBody()}`
  }
  if (found === undefined) return status < 400 ? `${what}: there is no such route${inBody()}` : check(errorAt)
  const { route, open } = found
  const at = `/paths/${escapePointer(open)}/${method.toLowerCase()}/responses/${status}`
  const answer = document.paths[open]?.[method.toLowerCase()]?.responses[String(status)]
  if (answer === undefined)
    return ANYWHERE.includes(status) ? check(errorAt) : `${what}: there is no such status${inBody()}`
  const { code } = (body ?? {}) as { code?: ErrorCode }
  if (code !== undefined && OWN.includes(status) && route.refuses?.includes(code) !== true)
    return `${what}: ${code} is not among what it refuses`
  if (code !== undefined && errors[code].status !== status) return `${what}: ${code} has another status`
  const unsaid = unsaidHeader(answer, headers, path)
  if (unsaid !== null) return `${what}: it does not say the header ${unsaid}`
  if (answer.$ref !== undefined) return check(ERROR)
  if (answer.content === undefined) return body === null ? null : `${what}: there is a body${inBody()}`
  const media = (headers.get('content-type') ?? '').replace(/;.*/, '')
  if (!(media in answer.content)) return `${what} is ${media === '' ? 'of no content type' : media}`
  return media === 'application/json' ? check(`${at}/content/${escapePointer(media)}/schema`) : null
}

/** @throws where a body that was taken is not what the document says is taken. @param body JSON */
export function expectDocumentedBody(method: string, url: string, body: string | Uint8Array): void {
  const found = routeOf(method, url)
  if (found?.route.body === undefined) return
  const at = `/paths/${escapePointer(found.open)}/${method.toLowerCase()}/requestBody/content`
  const validate = validatorOf(`${at}/${escapePointer('application/json')}/schema`, PUBLISHED)
  const given = JSON.parse(typeof body === 'string' ? body : new TextDecoder().decode(body)) as unknown
  if (!validate(given))
    throw new Error(
      `docs/openapi.json does not have this body, which was taken: ${method} ${found.open}: ${(validate.errors ?? []).map(shown).join('; ')}`,
    )
}

/** The same of a response, of which a stream is left as it is. */
export async function expectDocumentedStart(method: string, url: string, response: Response): Promise<void> {
  const isStream = response.headers.get('content-type')?.startsWith(EVENT_STREAM) === true
  const text = isStream ? '' : await response.clone().text()
  const { status, headers } = response
  expectDocumented(method, url, { status, headers, body: text === '' ? null : JSON.parse(text) })
}

/** @throws where an event of an answer is not as the document has it. @param event its data parsed */
export function expectDocumentedEvent(method: string, url: string, event: Readonly<Record<string, unknown>>): void {
  const found = routeOf(method, url)
  if (found === undefined) throw new Error(`${method} ${url} is no route`)
  const schema = `${escapePointer(EVENT_STREAM)}/schema/contentSchema/items`
  const validate = validatorOf(
    `/paths/${escapePointer(found.open)}/${method.toLowerCase()}/responses/200/content/${schema}`,
  )
  // What is left out is not there.
  const said = JSON.parse(JSON.stringify(event)) as unknown
  if (!validate(said))
    throw new Error(
      `docs/openapi.json does not have this event: ${(validate.errors ?? []).map(shown).join('; ')}, in ${JSON.stringify(said).slice(0, 2000)}`,
    )
}

/** @throws where a value is not what the document calls by this name */
export function expectSchema(name: string, value: unknown): void {
  const validate = validatorOf(`/components/schemas/${name}`)
  if (!validate(value)) throw new Error(`no ${name}: ${(validate.errors ?? []).map(shown).join('; ')}`)
}

const shown = ({ instancePath, message, params }: ErrorObject): string =>
  `${instancePath === '' ? 'the body' : instancePath} ${message} ${JSON.stringify(params)}`
