import * as v from 'valibot'
import { allowBody, banBody, inviteBody, newTokenView, nodeKeyView, rekeyBody } from '../wire/access.js'
import { delegationBody, delegationsQuery } from '../wire/delegation.js'
import { maybe } from '../wire/fields.js'
import { NODE_PATH } from '../wire/node.js'
import { completeBody, failBody, heartbeatBody, registerBody } from '../wire/rest.js'
import { delegationsPage, delegationView, nodesView, saidView } from '../wire/service-answers.js'
import { signedPollBody } from '../wire/signed.js'
import { polledTaskView } from '../wire/task-answers.js'
import { nodesFilterQuery } from '../wire/watch-answers.js'
import type { RouteTable } from './route.js'

/** A parameter must not take the place of a route that has a name. */
export const ONE_NODE = '/api/v1/nodes/:node_id{(?!(?:register|heartbeat|connect)$)[^/]+}'

/** What nodes do that poll. */
export const pollingRoutes = {
  registerNode: {
    method: 'POST',
    path: '/api/v1/nodes/register',
    action: 'register',
    summary: 'Register a node',
    body: registerBody,
    answers: { 200: saidView },
    refuses: ['conflict'],
  },
  sendHeartbeat: {
    method: 'POST',
    path: '/api/v1/nodes/heartbeat',
    action: 'heartbeat',
    summary: 'Say that a node is there',
    body: heartbeatBody,
    answers: { 200: saidView },
    refuses: ['node_not_registered'],
  },
  pollTask: {
    method: 'GET',
    path: '/api/v1/nodes/:node_id/tasks',
    action: 'poll',
    summary: 'Poll for a task',
    description:
      '204 when there is none. `running=id,id` says which tasks the node has; one that it holds and does not name is answered again. `features=params,tools` says what it understands.',
    query: v.object({ running: maybe(v.string()), features: maybe(v.string()) }),
    answers: { 200: polledTaskView, 204: null },
    refuses: ['node_not_registered'],
  },
  pollTaskSigned: {
    method: 'POST',
    path: '/api/v1/nodes/tasks',
    action: 'signature',
    summary: 'Poll for a task, signed by the key of the node',
    body: signedPollBody,
    answers: { 200: polledTaskView, 204: null },
    refuses: ['node_not_registered', 'conflict'],
  },
  completeTask: {
    method: 'POST',
    path: '/api/v1/tasks/complete',
    action: 'complete',
    signable: true,
    summary: 'Give the result of a task',
    body: completeBody,
    answers: { 200: saidView },
    refuses: ['task_not_found', 'node_not_registered', 'conflict'],
  },
  failTask: {
    method: 'POST',
    path: '/api/v1/tasks/fail',
    action: 'fail',
    signable: true,
    summary: 'Say that a task has failed',
    body: failBody,
    answers: { 200: saidView },
    refuses: ['task_not_found', 'node_not_registered', 'conflict'],
  },
} as const satisfies RouteTable

/** The nodes, as operators see and lead them. */
export const nodeRoutes = {
  listNodes: {
    method: 'GET',
    path: '/api/v1/nodes',
    action: 'nodes',
    summary: 'List nodes by node_id',
    description:
      'All of them as an array; with any parameter a page: `model` is one that they list, or the family of one; `q` is in their id, without regard to case. Counts as 10 requests.',
    query: nodesFilterQuery,
    answers: { 200: nodesView },
  },
  openNodeSession: {
    method: 'GET',
    path: NODE_PATH,
    action: 'connect',
    summary: 'Open a node session (WebSocket)',
    description: 'What is said in it has an [AsyncAPI document](/api/v1/asyncapi.json) of its own.',
    answers: { 101: null },
    refuses: ['upgrade_required'],
  },
  drainNode: {
    method: 'POST',
    path: '/api/v1/nodes/:node_id/drain',
    action: 'drain',
    summary: 'Give a node nothing new',
    answers: { 200: saidView },
    refuses: ['node_not_registered'],
  },
  resumeNode: {
    method: 'POST',
    path: '/api/v1/nodes/:node_id/resume',
    action: 'resume',
    summary: 'End a drain, and a cooldown',
    answers: { 200: saidView },
    refuses: ['node_not_registered'],
  },
  forgetNode: {
    method: 'DELETE',
    path: ONE_NODE,
    action: 'forget',
    summary: 'Forget a node',
    answers: { 200: saidView },
    refuses: ['node_not_registered', 'conflict'],
  },
  inviteNode: {
    method: 'POST',
    path: '/api/v1/nodes/invites',
    action: 'nodes.invite',
    summary: 'Make an invite for nodes',
    body: inviteBody,
    answers: { 200: newTokenView },
  },
  allowNodeKey: {
    method: 'POST',
    path: '/api/v1/nodes/keys',
    action: 'nodes.allow',
    summary: 'Let the key of a node in',
    body: allowBody,
    answers: { 200: nodeKeyView },
    refuses: ['conflict'],
  },
  banNode: {
    method: 'POST',
    path: '/api/v1/nodes/:id/ban',
    action: 'nodes.ban',
    summary: 'Keep the key of a node out',
    description: 'By the id of its node, or by itself.',
    body: banBody,
    answers: { 200: nodeKeyView },
    refuses: ['node_not_registered', 'conflict'],
  },
  rekeyNode: {
    method: 'POST',
    path: '/api/v1/nodes/:id/rekey',
    action: 'nodes.rekey',
    summary: 'Put another key in the place of that of a node',
    body: rekeyBody,
    answers: { 200: nodeKeyView },
    refuses: ['node_not_registered', 'conflict'],
  },
} as const satisfies RouteTable

/** Where nodes are paid that are not paid at the address of their key. */
export const delegationRoutes = {
  addDelegation: {
    method: 'POST',
    path: '/api/v1/delegations',
    action: 'delegations.add',
    summary: 'Let a node be paid at another address',
    body: delegationBody,
    answers: { 200: delegationView },
    refuses: ['not_found', 'conflict'],
  },
  listDelegations: {
    method: 'GET',
    path: '/api/v1/delegations',
    action: 'delegations.list',
    summary: 'List delegations by the keys of the nodes',
    query: delegationsQuery,
    answers: { 200: delegationsPage },
    refuses: ['not_found'],
  },
  revokeDelegation: {
    method: 'DELETE',
    path: '/api/v1/delegations/:node_key',
    action: 'delegations.revoke',
    summary: 'Revoke a delegation',
    answers: { 200: saidView },
    refuses: ['not_found'],
  },
} as const satisfies RouteTable
