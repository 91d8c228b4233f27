import * as v from 'valibot'
import { isModelName, MAX_OFFERED, type Offer } from '../offer.js'
import { isFamily } from '../model-names.js'
import type { NodeTask } from '../task.js'
import { within } from '../../lib/timer.js'
import { BackendDown, ModelMissing, WorkError } from '../work-error.js'
import { compareModels, mapped, type Mapping } from './compare-models.js'
import { parseJson, shownUrl, type ModelServer } from './model-server.js'
import { wholeAnswer } from './openai-answers.js'
import { tellMissing } from './tell-missing.js'

export interface ModelFinderParts {
  server: ModelServer
  /** The URL as it was given, without a slash at its end. */
  baseUrl: string
  mapping: Mapping
  /** Told what is good to know and stops nothing: once each. */
  notice(text: string): void
}

export type ModelFinder = ReturnType<typeof createModelFinder>

const LIST_TIMEOUT_MS = 15_000
/** A list of ten thousand names has about one. */
const MAX_LIST_BYTES = 8 * 1024 * 1024
/** What a server answers for a route that it does not have. */
const NO_ROUTE = [404, 405, 501]
const never = new AbortController().signal

const listBody = v.union([v.object({ data: v.array(v.unknown()) }), v.array(v.unknown())])
const listEntry = v.object({ id: v.pipe(v.string(), v.nonEmpty()) })

/** Finds out where the API of a model server is, and which models it has. */
export function createModelFinder({ server, baseUrl, mapping, notice }: ModelFinderParts) {
  const candidates = /\/v\d+\w*$/.test(baseUrl) ? [baseUrl] : [baseUrl, `${baseUrl}/v1`]
  const shown = shownUrl(baseUrl)
  let base = baseUrl
  /** Served name to the server's name. */
  let offered: ReadonlyMap<string, string> = new Map(Object.entries(mapping))
  /** Models of a server that gives no list, by its names, that have answered. */
  const proven = new Set<string>()
  const noticed = new Set<string>()

  const noticeOnce = (text: string): void => {
    if (noticed.has(text)) return
    noticed.add(text)
    notice(text)
  }
  const use = (found: string): void => {
    base = found
    if (found !== baseUrl)
      noticeOnce(`the API is not at ${shown} but at ${shownUrl(found)}, which is used; set it as base_url`)
  }
  const lateList = (): Error =>
    new BackendDown(`the model server at ${shown} gives no list of its models within ${LIST_TIMEOUT_MS / 1000} s`)

  /** null: there is no list at this place. */
  const listAt = async (place: string, signal: AbortSignal): Promise<string[] | null> => {
    const answer = await server.open('GET', `${place}/models`, undefined, signal)
    if (NO_ROUTE.includes(answer.status)) {
      answer.drop()
      return null
    }
    await server.requireSuccess(answer)
    const parsed = v.safeParse(listBody, parseJson(await server.readWhole(answer, MAX_LIST_BYTES)))
    if (!parsed.success) return null // a page for people, as some servers give at every path
    const entries = Array.isArray(parsed.output) ? parsed.output : parsed.output.data
    return entries.flatMap((entry) => (v.is(listEntry, entry) ? [entry.id] : []))
  }
  const list = async (signal: AbortSignal): Promise<string[] | null> => {
    for (const place of new Set([base, ...candidates])) {
      const names = await within(LIST_TIMEOUT_MS, signal, (own) => listAt(place, own), lateList())
      if (names === null) continue
      use(place)
      return names
    }
    return null
  }

  /** Lets a model say one word. null when it did, else why it is not offered; undefined when there is no such route at this place. */
  const tryAt = async (place: string, model: string, signal: AbortSignal): Promise<string | null | undefined> => {
    const body = { model, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 1, stream: false }
    const answer = await server.open('POST', `${place}/chat/completions`, body, signal)
    try {
      await server.requireSuccess(answer, model)
      await server.readJson(answer, wholeAnswer)
      return null
    } catch (error) {
      if (error instanceof ModelMissing)
        return `the server has no ${model}, and lists none: use --model NAME=ITS-NAME where it calls a model otherwise`
      if (NO_ROUTE.includes(answer.status)) return undefined
      if (error instanceof BackendDown || !(error instanceof WorkError)) throw error
      return `${model} was tried, for the server lists no models: ${error.message}`
    }
  }
  const prove = async (model: string, signal: AbortSignal): Promise<string | null> => {
    if (proven.has(model)) return null
    for (const place of new Set([base, ...candidates])) {
      const problem = await tryAt(place, model, signal)
      if (problem === undefined) continue
      use(place)
      if (problem !== null) return problem
      proven.add(model)
      noticeOnce(`the model server at ${shown} lists no models; each is tried with one word before it is offered`)
      return null
    }
    throw new BackendDown(
      `the model server at ${shown} has neither /models nor /chat/completions there: is base_url right? With most servers it ends in /v1`,
    )
  }

  const look = async (wanted: readonly string[], signal: AbortSignal = never): Promise<Offer> => {
    const listed = await list(signal)
    if (listed === null) return proveAll(wanted, signal)
    const comparison = compareModels(wanted, mapping, listed)
    const { missing } = comparison
    offered = comparison.offered
    if (wanted.length === 0 && listed.filter(isModelName).length > MAX_OFFERED)
      noticeOnce(`the server lists more than ${MAX_OFFERED} models; the first are offered: name others with --model`)
    return {
      models: [...offered.keys()],
      problem: missing.length === 0 ? undefined : tellMissing({ wanted, missing, mapping, listed }),
    }
  }
  const proveAll = async (wanted: readonly string[], signal: AbortSignal): Promise<Offer> => {
    if (wanted.length === 0)
      throw new BackendDown(`the model server at ${shown} does not list its models: name those to serve with --model`)
    const found = new Map<string, string>()
    const problems: string[] = []
    for (const name of wanted) {
      const own = mapped(mapping, name) ?? name
      const problem = await prove(own, signal)
      if (problem === null) found.set(name, own)
      else problems.push(problem)
    }
    offered = found
    return { models: [...found.keys()], problem: problems.length === 0 ? undefined : problems.join('; ') }
  }

  return {
    /** The URL that calls begin with. */
    get base() {
      return base
    },
    /** What it lists; null when it has no list. */
    list: (signal: AbortSignal = never) => list(signal),
    /**
     * What of the wanted models can be offered.
     * @param wanted nothing: all that the server has
     * @throws BackendDown when the server cannot be asked
     */
    look,
    /** The server's name of the model that serves a task. */
    nameFor({ own_model, model_name }: Pick<NodeTask, 'own_model' | 'model_name'>): string {
      const name = offered.get(own_model) ?? mapped(mapping, own_model)
      return name ?? (isFamily(own_model) ? model_name : own_model)
    },
    /** What a model, or the whole server, could do before counts no more. */
    doubt(model?: string): void {
      if (model === undefined) proven.clear()
      else proven.delete(model)
    },
  }
}
