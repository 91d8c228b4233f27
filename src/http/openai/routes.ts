import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { openAiRoutes as routes } from '../../contract/openai-routes.js'
import { createIds } from '../../lib/ids.js'
import type { OpenAiSettings } from '../route-parts.js'
import type { Refusal } from '../../lib/result.js'
import type { ChatBody } from '../../wire/openai.js'
import type { Submission } from '../../wire/rest.js'
import { fail, respond, text, type RouteContext } from '../answers.js'
import type { RouteParts } from '../route-parts.js'
import type { Routes } from '../routes.js'
import { traceOf } from '../submissions.js'
import { createAskings } from './asking.js'
import {
  addressOf,
  chatPrompt,
  completionPrompt,
  embeddingPrompt,
  feeOf,
  isRepeat,
  joinKey,
  type Prompt,
} from './request.js'
import { createPieces } from './stream.js'
import {
  chatForm,
  completionForm,
  embeddings,
  failureOf,
  NOT_STARTED,
  type Answer,
  type Asked,
  type Failure,
  type Form,
} from './views.js'

/** What every request has, whatever it asks for. */
type Common = Pick<ChatBody, 'model' | 'stream' | 'stream_options' | 'metadata'>

/** An answer that is made of a result. */
interface Wanted {
  prompt: Prompt
  /** Null: what was answered is none of this kind. */
  whole(asked: Asked, answer: Answer): object | null
  /** Null: it does not come in pieces. */
  form: Form | null
}

/** Whatever happened after the task was stored: to try again would ask for it once more. */
const NO_RETRY = { 'x-should-retry': 'false' }
const NO_ANSWER: Failure = {
  status: 502,
  error: {
    message: 'the node answered something else than what was asked for',
    type: 'server_error',
    param: null,
    code: 'node_failed',
  },
}

/** The routes that clients of OpenAI's API know. A request is a task like every other. */
export function openAiRoutes(
  { get, receive }: Routes,
  { ask, call, limits, watchers, wall, openai }: RouteParts,
): void {
  const newId = createIds()
  const asking = createAskings(watchers)

  const failWith = (c: RouteContext, { status, error }: Failure, headers: Record<string, string>): Response => {
    c.env.answered(status === 413 ? 'too_large' : status === 400 ? 'invalid_request' : 'unavailable')
    return respond(c, JSON.stringify({ error }), status, headers)
  }
  /** What is refused before it is stored; when to come again follows from how fast the queue of its model moves. */
  const refuse = async (c: RouteContext, refusal: Refusal, model: string): Promise<Response> => {
    const isBusy = refusal.code === 'rate_limited' || refusal.code === 'queue_full' || refusal.code === 'unavailable'
    if (!isBusy) return fail(c, refusal)
    const queue = await call({ op: 'queueTime', model })
    const seconds = queue.ok ? queue.value.seconds : 5
    return fail(c, { ...refusal, retryAfter: seconds }, { headers: { 'retry-after-ms': String(seconds * 1000) } })
  }
  /** Why a request is refused before it becomes a task: who asks may not, or nobody serves its model. */
  const refusalOf = async (c: RouteContext, model: string): Promise<Response | null> => {
    const found = await ask(c.env, { op: 'modelServed', model })
    if (!found.ok) return fail(c, found)
    return found.value.served || openai.queueUnknownModels ? null : notFound(c, model, found.value.near)
  }

  const answer = async (c: RouteContext, body: Common, { prompt, whole, form }: Wanted): Promise<Response> => {
    const exchange = c.env
    const arrived = performance.now()
    const key = joinKey(c, body)
    const known = isRepeat(c) ? await call({ op: 'joinable', key }) : null
    const joined = known?.ok === true ? known.value.task_id : null
    const { model } = body
    const fee = feeOf(c, body, openai.inferFee)
    if (!fee.ok) return fail(c, fee)
    const why = joined === null ? await refusalOf(c, model) : null
    if (why !== null) return why
    const taskId = joined ?? newId()
    const asked: Asked = { taskId, model, created: Math.floor(wall() / 1000) }
    const stream = body.stream === true && form !== null
    const headers = { 'x-task-id': taskId }
    return new Promise((resolve) => {
      const failed = (failure: Failure): void => resolve(failWith(c, failure, { ...headers, ...NO_RETRY }))
      const pieces = !stream
        ? null
        : createPieces({
            exchange,
            asked,
            form,
            headers,
            includeUsage: body.stream_options?.include_usage === true,
            async place() {
              const found = await call({ op: 'queuePlace', task_id: taskId })
              const place = found.ok ? found.value : null
              return place === null
                ? null
                : `waiting, position ${place.position} of ${model.replaceAll(/[^\x20-\x7e]/g, '?')}`
            },
            onFailure: failed,
            onBegun: () => resolve(RESPONSE_ALREADY_SENT),
            onAborted: () => request.end(!keep),
            onCut: () => request.end(false),
          })
      const end = (failure: Failure): void => (pieces === null ? failed(failure) : pieces.abort(failure))
      const keep = c.req.header('x-keep-task') === 'true'
      const request = asking({
        exchange,
        taskId,
        submission: joined === null ? submissionOf(c, body, { ...prompt, taskId, fee: fee.value, key, openai }) : null,
        stream,
        keep,
        maxWait: Math.max(0, openai.maxWait - (performance.now() - arrived)),
        onRefused(code, message) {
          pieces?.stop()
          resolve(refuse(c, { ok: false, code, message }, model))
        },
        onEvent(event) {
          if (pieces !== null) return pieces.take(event)
          if (event.event !== 'result') return
          const result = { type: 'task.result', ...event } as const
          const failure = failureOf(result)
          if (failure !== null) return failed(failure)
          const view = result.result === null ? null : whole(asked, result.result)
          if (view === null) return failed(NO_ANSWER)
          resolve(text(c, JSON.stringify(view), headers))
        },
        onLate: () => end(NOT_STARTED(openai.maxWait / 1000)),
        onStop() {
          const message = 'the service is stopping; the same request in a few seconds finds its task again'
          end({ status: 502, error: { message, type: 'server_error', param: null, code: 'stopping' } })
        },
      })
    })
  }

  receive(routes.createChatCompletion, limits.submission, (body, c) =>
    answer(c, body, { prompt: chatPrompt(body), whole: chatForm.whole, form: chatForm }),
  )
  receive(routes.createCompletion, limits.submission, (body, c) =>
    answer(c, body, { prompt: completionPrompt(body), whole: completionForm.whole, form: completionForm }),
  )
  receive(routes.createEmbedding, limits.submission, (body, c) => {
    const whole = (asked: Asked, result: Answer) => embeddings(asked, result, body.encoding_format ?? 'float')
    return answer(c, body, { prompt: embeddingPrompt(body), whole, form: null })
  })

  const modelView = ({ name, created }: { name: string; created: number }) => ({
    id: name,
    object: 'model',
    created,
    owned_by: 'nodes',
  })
  get(routes.listModels, async (c) => {
    const found = await ask(c.env, { op: 'models' })
    if (!found.ok) return fail(c, found)
    return text(c, JSON.stringify({ object: 'list', data: found.value.models.map(modelView) }))
  })
  get(routes.getModel, async (c) => {
    const found = await ask(c.env, { op: 'models' })
    if (!found.ok) return fail(c, found)
    const name = c.req.param('model') ?? ''
    const one = found.value.models.find((m) => m.name.toLowerCase() === name.toLowerCase())
    return one === undefined ? notFound(c, name, []) : text(c, JSON.stringify(modelView(one)))
  })
}

function notFound(c: RouteContext, model: string, near: readonly string[]): Response {
  c.env.answered('not_found')
  const hint = near.length === 0 ? 'GET /v1/models lists what is there' : `did you mean ${near.join(' or ')}?`
  const message = `model: no node that is there serves ${model}; ${hint}`
  const error = { message, type: 'invalid_request_error', param: 'model', code: 'model_not_found' }
  return respond(c, JSON.stringify({ error }), 404)
}

/** The task of a request. */
function submissionOf(
  c: RouteContext,
  { model }: Common,
  {
    taskId,
    fee,
    key,
    openai,
    ...prompt
  }: Prompt & { taskId: string; fee: number; key: string; openai: OpenAiSettings },
): Submission {
  return {
    task_id: taskId,
    user_address: addressOf(c.env.by, openai),
    ...prompt,
    fee: 0,
    nonce: 0,
    infer_fee: fee,
    max_infer_time: openai.maxInferTime,
    model_name: model,
    signed_tx: null,
    signer_public_key: null,
    is_encrypted: false,
    join_key: key,
    traceparent: traceOf(c),
  }
}
