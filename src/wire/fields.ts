import * as v from 'valibot'

/** The largest `max_infer_time`, in seconds (68 years): keeps every sum of times far below 2^53 milliseconds. */
export const MAX_INFER_TIME_SECONDS = 2 ** 31 - 1

const wellFormed = (s: string): boolean => s.isWellFormed()

/** Any Unicode text. A lone surrogate is refused: it has no UTF-8 form, so it could not come back as it was. */
export const text = v.pipe(
  v.string('must be a string'),
  v.check(wellFormed, 'must be valid Unicode (it holds a lone surrogate)'),
)

/** An optional field: missing and null mean the same. */
export const maybe = <S extends v.GenericSchema>(schema: S) => v.nullish(schema)

/** Text of a bounded length, in UTF-16 units. */
export const shortText = (min: number, max: number) =>
  v.pipe(
    text,
    v.minLength(min, `must have at least ${min} character${min === 1 ? '' : 's'}`),
    v.maxLength(max, `must have at most ${max} characters`),
  )

const ID = /^(?!\.{1,2}$)[^/\p{Cc}\p{Cs}]{1,128}$/u

/** A `node_id` or `task_id`: it must fit in a URL path segment. */
export const id = v.pipe(
  v.string('must be a string'),
  v.regex(ID, 'must be 1 to 128 characters without "/" and control characters, and not "." or ".."'),
)

const AMOUNT = 'must be an integer from 0 to 9007199254740991, as a number or a decimal string'

const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

/**
 * Why ids and addresses cannot be those of something new, as a sentence that names the field; null when they can. Characters
 * that are not seen forge logs and tables, and let two names look the same. What has them already goes on working.
 */
export function namesProblem(names: Record<string, string | null | undefined>): string | null {
  const field = Object.keys(names).find((key) => INVISIBLE.test(names[key] ?? ''))
  return field === undefined ? null : `${field}: must have no control characters and no invisible ones`
}

/** The list of all nodes shows it: a long one of each would make that list very long. */
const MAX_NEW_ENDPOINT_LENGTH = 256

/** The same for a node. Its id is signed in a text whose parts are divided by ":". */
export function newNodeProblem(
  node: Record<'node_id' | 'endpoint', string> & {
    node_address?: string | null | undefined
    agent?: string | null | undefined
  },
): string | null {
  const { node_id, endpoint, node_address, agent } = node
  if (node_id.includes(':')) return 'node_id: a new one must have no ":"; choose another name, such as with "-" instead'
  if (endpoint.length > MAX_NEW_ENDPOINT_LENGTH)
    return `endpoint: that of a new node must have at most ${MAX_NEW_ENDPOINT_LENGTH} characters`
  return namesProblem({ node_id, endpoint, node_address, agent })
}

/** A fee (micro-STX) or nonce: a JSON number or a decimal string in, always a number inside. Never rounded. */
export const amount = v.pipe(
  v.union(
    [
      v.pipe(v.number(), v.safeInteger(AMOUNT), v.minValue(0, AMOUNT)),
      v.pipe(v.string(), v.regex(/^0{0,64}\d{1,16}$/, AMOUNT), v.transform(Number), v.safeInteger(AMOUNT)),
    ],
    AMOUNT,
  ),
  v.transform((n) => n + 0), // -0 becomes 0
)

/** `max_infer_time`, in whole seconds. */
export const inferTime = v.pipe(
  v.number('must be an integer from 1 (seconds)'),
  v.integer('must be an integer from 1 (seconds)'),
  v.minValue(1, 'must be an integer from 1 (seconds)'),
  v.maxValue(MAX_INFER_TIME_SECONDS, `must be at most ${MAX_INFER_TIME_SECONDS} seconds`),
)

/** A share or probability, 0 to 1. */
export const share = v.pipe(
  v.number('must be a number from 0 to 1'),
  v.minValue(0, 'must be a number from 0 to 1'),
  v.maxValue(1, 'must be a number from 0 to 1'),
)

/** A model name, or a family for "any model of it". Names compare case-insensitively. */
export const model = v.pipe(shortText(1, 128), v.regex(/^[^\p{Cc}]*$/u, 'must have no control characters'))

/**
 * A list that stops at its first wrong entry: it is one problem, however many of its entries are wrong. Every list in a message
 * or body from outside is one.
 */
export const list = <S extends v.GenericSchema>(entry: S, message = 'must be an array') =>
  v.config(v.array(entry, message), { abortEarly: true })

/** The most models a node lists. */
export const MAX_MODELS = 64
export const models = v.pipe(
  list(model, 'must be an array of model names'),
  v.maxLength(MAX_MODELS, `must list at most ${MAX_MODELS} models`),
)

/** How many tasks a node works on at once. The service may set a lower ceiling. */
export const slots = v.pipe(
  v.number('must be an integer from 1 to 1024'),
  v.integer('must be an integer from 1 to 1024'),
  v.minValue(1, 'must be an integer from 1 to 1024'),
  v.maxValue(1024, 'must be an integer from 1 to 1024'),
)

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
/** Any JSON object; what is in it is not looked at. */
export const jsonObject = v.custom<Readonly<Record<string, unknown>>>(isObject, 'must be a JSON object')

/** How a generation came to its end, in the words of OpenAI's API. */
export const finishReason = v.picklist(
  ['stop', 'length', 'tool_calls', 'content_filter'],
  'must be one of stop, length, tool_calls, content_filter',
)

/** The most calls of tools in one answer. */
const MAX_TOOL_CALLS = 128
export const toolCalls = v.pipe(
  list(jsonObject, 'must be an array of tool calls'),
  v.maxLength(MAX_TOOL_CALLS, `must hold at most ${MAX_TOOL_CALLS} tool calls`),
)

const count = v.pipe(
  v.number('must be an integer from 0'),
  v.safeInteger('must be an integer from 0'),
  v.minValue(0, 'must be an integer from 0'),
)
export const usage = v.object({ prompt_tokens: count, completion_tokens: count })

/** What a result says beside its output and confidence, in a session and over REST. */
export const resultEntries = {
  finish_reason: maybe(finishReason),
  tool_calls: maybe(toolCalls),
  /** What the model thought before it answered. */
  reasoning: maybe(text),
  usage: maybe(usage),
}

/** What a node may say is wrong with a task itself. */
export const taskErrorCode = v.picklist(['context_length_exceeded', 'too_large', 'content_filter'])
export type TaskErrorCode = v.InferOutput<typeof taskErrorCode>
/** What a code of a node says of its task; null where that is nothing. */
export const readTaskErrorCode = (code: string | null | undefined): TaskErrorCode | null =>
  v.is(taskErrorCode, code) ? code : null

/** Of so many features of a node the others are passed over, and longer names too. */
const MAX_FEATURES = 32
const MAX_FEATURE_LENGTH = 64
/** What a node understands beside plain text: names. What is none, or not known, says nothing: other versions may have more to say. */
export const featureNames = v.pipe(
  v.array(v.unknown(), 'must be an array of names'),
  v.transform((names) =>
    names
      .slice(0, MAX_FEATURES)
      .filter((name): name is string => typeof name === 'string' && name.length <= MAX_FEATURE_LENGTH),
  ),
)

/** The number of an attempt, from 1. */
export const attempt = v.pipe(
  v.number('must be an integer from 1'),
  v.safeInteger('must be an integer from 1'),
  v.minValue(1, 'must be an integer from 1'),
)

/** Text of which so many UTF-16 units are kept. A long one is cut, not refused: what it says still counts. */
const cutText = (max: number) => v.pipe(text, v.transform(cutAt(max)))
const cutAt =
  (max: number) =>
  (s: string): string =>
    s.length <= max ? s : s.slice(0, max).toWellFormed()
const MAX_REASON = 4096
/** Why a node rejected or failed a task, in its own words. */
export const reason = cutText(MAX_REASON)
/** The same of a text that was read as it is, because it is signed. */
export const cutReason = cutAt(MAX_REASON)
/** Why a node is in maintenance, in its own words. */
export const statusReason = cutText(256)

/** The four node statuses. */
export const nodeStatus = v.picklist(
  ['online', 'offline', 'busy', 'maintenance'],
  'must be one of online, offline, busy, maintenance',
)
export type NodeStatus = v.InferOutput<typeof nodeStatus>

/** The most tasks or nodes that a page of a list may hold. */
export const MAX_PAGE = 1000

const PAGE_SIZE = `must be an integer from 1 to ${MAX_PAGE}`
export const pageSize = v.pipe(
  v.string(),
  v.regex(/^[0-9]{1,4}$/, PAGE_SIZE),
  v.transform(Number),
  v.minValue(1, PAGE_SIZE),
  v.maxValue(MAX_PAGE, PAGE_SIZE),
)

/** What the submitter of a task that was stored should know. `did_you_mean`: names of models that are served, at most 3. */
export const submissionWarning = v.object({
  code: v.picklist(['no_node_for_model']),
  message: v.string(),
  did_you_mean: list(v.string()),
})
export type SubmissionWarning = v.InferOutput<typeof submissionWarning>

/** Of a value with more wrong fields than this the others are counted, not named. */
const MAX_NAMED_FIELDS = 10

type Issues = readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]]

/** One sentence for a person: everything that is wrong, with the path of each field; the first thing of each. */
export function explain(issues: Issues): string {
  const problems = new Map<string | null, string>()
  for (const issue of issues) {
    const path = v.getDotPath(issue)
    if (path === null) return issue.type === 'object' ? 'the body must be a JSON object' : issue.message
    if (!problems.has(path))
      problems.set(path, `${path}: ${issue.received === 'undefined' ? 'is missing' : issue.message}`)
  }
  const all = [...problems.values()]
  const more = all.length - MAX_NAMED_FIELDS
  return [
    ...all.slice(0, MAX_NAMED_FIELDS),
    ...(more > 0 ? [`and ${more} more ${more === 1 ? 'field is' : 'fields are'} wrong`] : []),
  ].join('; ')
}

export type Fitted<T> = { ok: true; value: T } | { ok: false; problem: string }

/**
 * A value from outside that fits the schema, or one sentence that names every field that is wrong. What is wrong is looked for
 * again only where something is.
 */
export function fit<S extends v.GenericSchema>(schema: S, value: unknown): Fitted<v.InferOutput<S>> {
  const result = v.safeParse(schema, value, { abortEarly: true })
  if (result.success) return { ok: true, value: result.output }
  return { ok: false, problem: explain(v.safeParse(schema, value).issues ?? result.issues) }
}
