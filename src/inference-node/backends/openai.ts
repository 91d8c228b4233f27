import type { Feature } from '../../wire/params.js'
import { wantsVectors, type NodeTask, type Piece, type TextStream, type WorkAnswer, type WorkNotes } from '../task.js'
import { BackendDown, ModelMissing, WorkError } from '../work-error.js'
import type { Backend } from './backend.js'
import { createEmbeddings } from './embeddings.js'
import { createModelFinder } from './model-finder.js'
import { createModelServer, shownUrl, type Answer } from './model-server.js'
import { readEvents, readWholeAnswer, wholeAnswer } from './openai-answers.js'
import { paramsOf, questionOf } from './prompt.js'

export interface OpenAiOptions {
  /** Up to and with the version: default Ollama's, `http://127.0.0.1:11434/v1`. Without one `/v1` is tried too. */
  baseUrl?: string | undefined
  /** Sent as `Authorization: Bearer`. */
  apiKey?: string | undefined
  /** Served name to the server's name. */
  mapping?: Readonly<Record<string, string>> | undefined
  /** Seconds without a byte after which the server counts as hanging. Default 120. */
  stallTimeout?: number | undefined
  /** Whether its models call tools. Default true. */
  tools?: boolean | undefined
  /** Whether its models see images. The server fetches those of which only the address is given. Default true. */
  images?: boolean | undefined
  /** Whether it is asked for embeddings too, where it shows that it makes them. Default false. */
  embeddings?: boolean | undefined
  /** Told what is good to know and stops nothing, such as another URL that is used. */
  onNotice?: ((text: string) => void) | undefined
}

export const DEFAULT_BASE_URL = 'http://127.0.0.1:11434/v1'

/** Any server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp, LM Studio and others. */
export function openai(options: OpenAiOptions = {}): Backend {
  const { baseUrl = DEFAULT_BASE_URL, apiKey, mapping = {}, stallTimeout = 120 } = options
  const given = baseUrl.replace(/\/+$/, '')
  const shown = shownUrl(given)
  const server = createModelServer({
    shown,
    stallTimeout,
    headers: apiKey === undefined || apiKey === '' ? {} : { authorization: `Bearer ${apiKey}` },
  })
  const finder = createModelFinder({
    server,
    baseUrl: given,
    mapping,
    notice: options.onNotice ?? (() => undefined),
  })
  const features: Feature[] = [
    'params',
    ...(options.tools === false ? [] : (['tools'] as const)),
    ...(options.images === false ? [] : (['images'] as const)),
  ]
  const embeddings = options.embeddings === true ? createEmbeddings({ server, finder, shown }) : null
  let canIncludeUsage = true

  const ask = async (task: NodeTask, model: string, signal: AbortSignal): Promise<Answer> => {
    const body = {
      ...paramsOf(task),
      model,
      messages: questionOf(task),
      stream: true,
      ...(canIncludeUsage ? { stream_options: { include_usage: true } } : {}),
    }
    const answer = await server.open('POST', `${finder.base}/chat/completions`, body, signal, task.traceparent)
    try {
      await server.requireSuccess(answer, model)
      return answer
    } catch (error) {
      // Older servers do not know the option.
      if (
        !canIncludeUsage ||
        answer.status !== 400 ||
        !(error instanceof WorkError) ||
        !error.detail.includes('stream_options')
      )
        throw error
      canIncludeUsage = false
      return ask(task, model, signal)
    }
  }

  const stream = async function* (task: NodeTask, signal: AbortSignal): AsyncGenerator<Piece, WorkNotes> {
    const model = finder.nameFor(task)
    const answer = await ask(task, model, signal).catch((error: unknown) => {
      if (error instanceof BackendDown) {
        finder.doubt()
        embeddings?.doubt()
      }
      if (error instanceof ModelMissing) finder.doubt(model)
      throw error
    })
    if (answer.contentType.startsWith('application/json'))
      return yield* readWholeAnswer(await server.readJson(answer, wholeAnswer))
    return yield* readEvents(answer, shown)
  }

  return {
    features: embeddings === null ? features : [...features, 'embeddings'],
    work: (task, signal): TextStream | Promise<WorkAnswer> =>
      embeddings !== null && wantsVectors(task) ? embeddings.work(task, signal) : stream(task, signal),
    async check(signal, wanted) {
      if (wanted !== undefined) {
        const offer = await finder.look(wanted, signal)
        if (embeddings === null) return offer
        const problem = await embeddings.look(offer.models, signal)
        if (problem === null) return { ...offer, features: [...features, 'embeddings'] }
        return { ...offer, features, problem: offer.problem === undefined ? problem : `${offer.problem}; ${problem}` }
      }
      await finder.list(signal) // a server without a list is there all the same
    },
    async models(signal) {
      const listed = await finder.list(signal)
      if (listed === null) throw new BackendDown(`the model server at ${shown} does not list its models`)
      return listed
    },
  }
}
