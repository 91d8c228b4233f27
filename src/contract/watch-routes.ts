import { configurationView, nodeDetailView, modelsView, overviewQuery, overviewView } from '../wire/watch-answers.js'
import { feedEvent, feedQuery } from '../wire/watch-events.js'
import { ONE_NODE } from './node-routes.js'
import { bare, eventStream, type RouteTable } from './route.js'

/** What those look at who watch the service. */
export const watchRoutes = {
  listModelRates: {
    method: 'GET',
    path: '/api/v1/models',
    action: 'models',
    summary: 'See how each model stands: nodes, queue, rates and times',
    description:
      'A `model` is a name that a node has listed since the start, a family, or `other` for all the rest. Counts as 5 requests.',
    answers: { 200: modelsView },
  },
  getOverview: {
    method: 'GET',
    path: '/api/v1/overview',
    action: 'overview',
    summary: 'See the service as a whole, and how it was',
    description:
      '`window`: `15m` in steps of 5 seconds, `1h` of a minute, `24h` of 5 minutes. What was before the start is known by the minute. Counts as 5 requests.',
    query: overviewQuery,
    answers: { 200: overviewView },
    refuses: ['not_found'],
  },
  getNode: {
    method: 'GET',
    path: ONE_NODE,
    action: 'nodes',
    summary: 'Look at a node, what it did of late, and why it has nothing to do',
    description: 'Counts as 5 requests.',
    answers: { 200: nodeDetailView },
    refuses: ['node_not_registered'],
  },
  followEvents: {
    method: 'GET',
    path: '/api/v1/events',
    action: 'events',
    summary: 'Follow what happens in the service as server-sent events',
    description:
      'Events `task`, `node` and, once a second, `tick`; `reset` to who comes back and has missed more than is known. Over 200 events of tasks a second some are left out: the next says how many in `skipped`. At most 100 readers.',
    query: feedQuery,
    headers: { 'Last-Event-ID': 'The id of the last event that the reader has' },
    answers: { 200: eventStream(feedEvent) },
  },
  getConfiguration: {
    method: 'GET',
    path: '/api/v1/configuration',
    action: 'configuration',
    summary: 'See how the service is set up, without secrets',
    description:
      'Keys, secrets and the paths of files that hold them are `hidden`: that they are set is all that is said.',
    answers: { 200: configurationView },
  },
  getMetrics: {
    method: 'GET',
    path: '/metrics',
    action: 'metrics',
    summary: 'Read the metrics, as Prometheus does',
    description: 'In the text format of Prometheus. Counts as 5 requests.',
    answers: { 200: bare('text/plain') },
    refuses: ['not_found'],
  },
} as const satisfies RouteTable
