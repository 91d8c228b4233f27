import * as v from 'valibot'
import { callbacksPage, callbacksQuery, callbackView } from '../wire/callbacks.js'
import { CLIENT_PATH } from '../wire/client-answers.js'
import { signedReceipt } from '../wire/receipt.js'
import { batchBody, listQuery, submitBody, waitQuery } from '../wire/rest.js'
import { saidView } from '../wire/service-answers.js'
import { settlementsQuery } from '../wire/settlement.js'
import { signedQueryBody } from '../wire/signed.js'
import { taskEvent } from '../wire/task-event-data.js'
import {
  batchView,
  paidTaskView,
  settlementsPage,
  settlementView,
  submissionView,
  taskDetailView,
  tasksPage,
  taskStatusView,
} from '../wire/task-answers.js'
import { eventStream, traceHeaders, type Route, type RouteTable } from './route.js'

const waitHeaders = { Prefer: '`wait=N`: as the parameter `wait`, where that is not there' }
const waitSays = ['Preference-Applied'] as const
const idempotencyHeaders = { 'Idempotency-Key': 'Becomes the `task_id` where the body has none' }

const submitTask = {
  method: 'POST',
  path: '/api/v1/tasks/submit',
  action: 'submit',
  summary: 'Submit a task',
  description:
    'The answer comes when the task is on disk. The same `task_id` with the same content is stored once. One of `model_name` and `model_type` is required. With `wait` the answer is how the task stands when it has ended, or after so many seconds.',
  query: waitQuery,
  headers: { ...waitHeaders, ...idempotencyHeaders, ...traceHeaders },
  body: submitBody,
  answers: { 200: submissionView },
  says: waitSays,
  callsBack: true,
  refuses: ['conflict'],
} as const satisfies Route

/** Tasks, as those see them who submit them. */
export const taskRoutes = {
  submitTask,
  createTask: { ...submitTask, path: '/api/v1/tasks', summary: 'Submit a task (the same)' },
  submitBatch: {
    method: 'POST',
    path: '/api/v1/tasks/batch',
    action: 'submit',
    summary: 'Submit up to 1,000 tasks',
    description:
      'The answer comes when all are on disk. A bad entry does not fail the rest: each has its result in its place.',
    query: waitQuery,
    headers: { ...waitHeaders, ...traceHeaders },
    body: batchBody,
    answers: { 200: batchView },
    says: waitSays,
  },
  listTasks: {
    method: 'GET',
    path: '/api/v1/tasks',
    action: 'list',
    summary: 'List tasks, newest first',
    description: 'A page may be short, even empty: only `next_cursor: null` is the end. Counts as 5 requests.',
    query: listQuery,
    answers: { 200: tasksPage },
  },
  getTask: {
    method: 'GET',
    // A parameter must not take the place of a route that has a name.
    path: '/api/v1/tasks/:task_id{(?!(?:submit|batch|complete|fail|connect)$)[^/]+}',
    action: 'taskDetail',
    summary: 'Look at a task with every attempt',
    answers: { 200: taskDetailView },
    refuses: ['task_not_found'],
  },
  getTaskStatus: {
    method: 'GET',
    path: '/api/v1/tasks/:task_id/status',
    action: 'task',
    summary: 'Look at a task, its status and its result',
    description:
      'In the place of the id there may be a txid, for the miner that holds the transaction; that everybody may ask.',
    query: waitQuery,
    headers: waitHeaders,
    answers: { 200: v.union([taskStatusView, paidTaskView]) },
    says: waitSays,
    refuses: ['task_not_found'],
  },
  followTask: {
    method: 'GET',
    path: '/api/v1/tasks/:task_id/events',
    action: 'taskEvents',
    summary: 'Follow a task as server-sent events',
    description:
      'Events `status`, `output`, `restart`, and `result` at the end, each with JSON. 204 where the reader had the result.',
    headers: { 'Last-Event-ID': 'The id of the last event that the reader has' },
    answers: { 200: eventStream(taskEvent), 204: null },
    refuses: ['task_not_found'],
  },
  askTaskStatus: {
    method: 'POST',
    path: '/api/v1/tasks/status',
    action: 'signature',
    summary: 'Look at a task of a wallet of your own',
    description: 'The signature of the wallet that the task was submitted for says who asks.',
    body: signedQueryBody,
    answers: { 200: taskStatusView },
    refuses: ['task_not_found'],
  },
  getReceipt: {
    method: 'GET',
    path: '/api/v1/tasks/:task_id/receipt',
    action: 'receipt',
    summary: 'Get the signed receipt of a result',
    answers: { 200: signedReceipt },
    refuses: ['not_found', 'task_not_found', 'conflict'],
  },
  cancelTask: {
    method: 'POST',
    path: '/api/v1/tasks/:task_id/cancel',
    action: 'cancel',
    summary: 'Cancel a task that is pending or in progress',
    answers: { 200: saidView },
    refuses: ['task_not_found', 'conflict'],
  },
  retryTask: {
    method: 'POST',
    path: '/api/v1/tasks/:task_id/retry',
    action: 'retry',
    summary: 'Open a failed or timed out task again',
    answers: { 200: saidView },
    refuses: ['task_not_found', 'conflict'],
  },
  openTaskSession: {
    method: 'GET',
    path: CLIENT_PATH,
    action: 'connect',
    summary: 'Open a task session (WebSocket)',
    description: 'What is said in it has an [AsyncAPI document](/api/v1/asyncapi.json) of its own.',
    answers: { 101: null },
    refuses: ['upgrade_required'],
  },
} as const satisfies RouteTable

/** Where the ends of tasks are told. */
export const callbackRoutes = {
  listCallbacks: {
    method: 'GET',
    path: '/api/v1/callbacks',
    action: 'callbacks',
    summary: 'List callbacks by task_id, the last first',
    query: callbacksQuery,
    answers: { 200: callbacksPage },
    refuses: ['not_found'],
  },
  retryCallback: {
    method: 'POST',
    path: '/api/v1/tasks/:task_id/callback/retry',
    action: 'callbackRetry',
    summary: 'Send a callback again now',
    description: 'Also one that is `dead`; its tries are counted anew.',
    answers: { 200: callbackView },
    refuses: ['not_found', 'task_not_found', 'conflict'],
  },
} as const satisfies RouteTable

/** What becomes of payments. */
export const settlementRoutes = {
  listSettlements: {
    method: 'GET',
    path: '/api/v1/settlements',
    action: 'settlements',
    summary: 'List settlements by task_id, the last first',
    query: settlementsQuery,
    answers: { 200: settlementsPage },
    refuses: ['not_found'],
  },
  getSettlement: {
    method: 'GET',
    path: '/api/v1/settlements/:task_id',
    action: 'settlements',
    summary: 'Look at one settlement',
    answers: { 200: settlementView },
    refuses: ['not_found', 'task_not_found'],
  },
  retrySettlement: {
    method: 'POST',
    path: '/api/v1/settlements/:task_id/retry',
    action: 'settlementRetry',
    summary: 'Try a settlement again now',
    answers: { 200: settlementView },
    refuses: ['not_found', 'task_not_found', 'conflict'],
  },
} as const satisfies RouteTable
