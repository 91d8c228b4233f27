import { modelList, modelView } from '../wire/model-answers.js'
import { chatBody, completionBody, embeddingBody } from '../wire/openai.js'
import {
  chatCompletion,
  chatEvent,
  completion,
  completionEvent,
  embeddingList,
  openAiFailure,
} from '../wire/openai-answers.js'
import { bare, EVENT_STREAM, traceHeaders, type RouteTable } from './route.js'

const json = 'application/json'
const failure = bare(json, openAiFailure)
const headers = {
  'X-Infer-Fee': 'Raises the fee to so many micro-STX, as `metadata.infer_fee` does',
  'X-Keep-Task': '`true`: who hangs up does not cancel the task',
  'X-Stainless-Retry-Count': 'From 1: the same request once more, which joins the task of the first',
  ...traceHeaders,
}
const says = ['X-Task-Id', 'X-Should-Retry', 'Retry-After-Ms'] as const
/** What becomes of a task later than that it was stored. */
const later = { 404: failure, 502: failure, 504: failure }
const STREAM = 'With `stream` the answer comes as server-sent events, `data: [DONE]` the last.'

/** What clients of OpenAI's API know. */
export const openAiRoutes = {
  createChatCompletion: {
    method: 'POST',
    path: '/v1/chat/completions',
    action: 'openai',
    summary: 'Chat',
    description: STREAM,
    headers,
    body: chatBody,
    answers: { 200: bare([json, EVENT_STREAM], chatCompletion, chatEvent), ...later },
    says,
    failure: openAiFailure,
    refuses: ['conflict'],
  },
  createCompletion: {
    method: 'POST',
    path: '/v1/completions',
    action: 'openai',
    summary: 'Complete a text',
    description: STREAM,
    headers,
    body: completionBody,
    answers: { 200: bare([json, EVENT_STREAM], completion, completionEvent), ...later },
    says,
    failure: openAiFailure,
    refuses: ['conflict'],
  },
  createEmbedding: {
    method: 'POST',
    path: '/v1/embeddings',
    action: 'openai',
    summary: 'Turn texts into vectors',
    headers,
    body: embeddingBody,
    answers: { 200: bare(json, embeddingList), ...later },
    says,
    failure: openAiFailure,
    refuses: ['conflict'],
  },
  listModels: {
    method: 'GET',
    path: '/v1/models',
    action: 'models',
    summary: 'List the models that are served now',
    answers: { 200: bare(json, modelList) },
    failure: openAiFailure,
  },
  getModel: {
    method: 'GET',
    // A name may hold slashes.
    path: '/v1/models/:model{.+}',
    action: 'models',
    summary: 'Look at one of them',
    answers: { 200: bare(json, modelView), 404: failure },
    failure: openAiFailure,
  },
} as const satisfies RouteTable
