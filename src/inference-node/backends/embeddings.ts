import * as v from 'valibot'
import type { NodeTask, WorkAnswer } from '../task.js'
import { within } from '../../lib/timer.js'
import { BackendDown, FeatureMissing, ModelMissing, WorkError } from '../work-error.js'
import type { ModelFinder } from './model-finder.js'
import type { ModelServer } from './model-server.js'
import { paramsOf } from './prompt.js'

export interface EmbeddingsParts {
  server: ModelServer
  finder: ModelFinder
  /** How the server is called in errors. */
  shown: string
}

export type Embeddings = ReturnType<typeof createEmbeddings>

/** What a server answers for a route that it does not have, or has not been started with. */
const NO_ROUTE = [404, 405, 501]
/** A model that has to be loaded for it takes a while; all tries of a look together, ms: it has 120 s for everything. */
const LOOK_TIMEOUT_MS = 60_000
/** Each model that is tried may have to be loaded. */
const MAX_TRIED = 3
/** Models that are made for it are tried before those that chat. */
const LIKELY = /embed|bge|gte|e5-|minilm|nomic/i
const never = new AbortController().signal

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const vectors = v.object({
  data: v.array(v.object({ index: v.nullish(count), embedding: v.array(v.number()) })),
  usage: v.optional(v.fallback(v.nullable(v.object({ prompt_tokens: count })), null)),
})
type Vectors = v.InferOutput<typeof vectors>

/** The embeddings of a server that speaks OpenAI's API. */
export function createEmbeddings({ server, finder, shown }: EmbeddingsParts) {
  /** It has made some, and nothing has gone wrong since. */
  let isProven = false

  const ask = async (model: string, params: object, signal: AbortSignal, traceparent?: string): Promise<Vectors> => {
    const answer = await server.open('POST', `${finder.base}/embeddings`, { ...params, model }, signal, traceparent)
    try {
      await server.requireSuccess(answer, model)
    } catch (error) {
      // What chats may still be there, whatever becomes of vectors.
      const isMissing = error instanceof ModelMissing || NO_ROUTE.includes(answer.status)
      if (!isMissing || !(error instanceof WorkError)) throw error
      throw new FeatureMissing(`the model server at ${shown} makes no embeddings with ${model} (${answer.status})`, {
        detail: error.detail,
        cause: error,
      })
    }
    return server.readJson(answer, vectors)
  }

  const tryAll = async (names: readonly string[], signal: AbortSignal): Promise<string | null> => {
    let problem = 'there is no model to make them'
    for (const name of names) {
      try {
        await ask(finder.nameFor({ own_model: name, model_name: name }), { input: 'Hi' }, signal)
        isProven = true
        return null
      } catch (error) {
        signal.throwIfAborted()
        problem = error instanceof Error ? error.message : String(error)
      }
    }
    return `embeddings are not offered: ${problem}`
  }

  return {
    /** The vectors of `params.input`, as a JSON array in its order. */
    async work(task: NodeTask, signal: AbortSignal): Promise<WorkAnswer> {
      // Vectors are numbers here: how they are sent on is not the node's business.
      const params = paramsOf(task, ['encoding_format'])
      try {
        const { data, usage } = await ask(finder.nameFor(task), params, signal, task.traceparent)
        return {
          output: JSON.stringify(inOrder(data, countOf(params['input']), shown)),
          ...(usage == null ? {} : { usage: { prompt_tokens: usage.prompt_tokens, completion_tokens: 0 } }),
        }
      } catch (error) {
        if (error instanceof FeatureMissing) isProven = false
        if (error instanceof BackendDown) {
          isProven = false
          finder.doubt()
        }
        throw error
      }
    },

    /**
     * Whether the server makes embeddings with one of these models at least; it is asked for some until it has shown it.
     * @returns null when it does, else why not, as a sentence. Rejects only when the signal aborts
     */
    async look(models: readonly string[], signal: AbortSignal = never): Promise<string | null> {
      if (isProven) return null
      const likely = models.filter((name) => LIKELY.test(name))
      const names = [...likely, ...models.filter((name) => !likely.includes(name))].slice(0, MAX_TRIED)
      try {
        return await within(LOOK_TIMEOUT_MS, signal, (own) => tryAll(names, own))
      } catch (error) {
        signal.throwIfAborted()
        return `embeddings are not offered: ${error instanceof Error ? error.message : String(error)}`
      }
    },

    /** What it could do before counts no more. */
    doubt(): void {
      isProven = false
    },
  }
}

/** How many vectors an input asks for: one for a text or for the tokens of one, else one for each entry. */
const countOf = (input: unknown): number => (Array.isArray(input) && typeof input[0] !== 'number' ? input.length : 1)

function inOrder(data: Vectors['data'], wanted: number, shown: string): number[][] {
  const byIndex = new Map(data.map(({ index, embedding }, at) => [index ?? at, embedding]))
  const found = Array.from({ length: wanted }, (_, at) => byIndex.get(at)).filter((vector) => vector !== undefined)
  if (data.length !== wanted || found.length !== wanted)
    throw new WorkError(`the model server at ${shown} answers with other vectors than it was asked for`)
  return found
}
