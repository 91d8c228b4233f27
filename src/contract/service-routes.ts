import * as v from 'valibot'
import { defaultsView, encryptionKeyView, healthView, statsView } from '../wire/service-answers.js'
import { bare, type RouteTable } from './route.js'

/** Of a document that has a form of its own. */
const anyObject = v.looseObject({})

/** The service itself: counters, health and documents. */
export const serviceRoutes = {
  getStats: {
    method: 'GET',
    path: '/api/v1/stats',
    action: 'stats',
    summary: 'Read the counters',
    answers: { 200: statsView },
  },
  getHealth: {
    method: 'GET',
    path: '/health',
    action: 'health',
    summary: 'See whether the service works',
    description:
      '503 when the database cannot be written, the service stops, or the log of its cluster does not store; and at a coordinator that does not own the work of its cluster, which says how far it is.',
    answers: { 200: healthView, 503: healthView },
  },
  getEncryptionKey: {
    method: 'GET',
    path: '/api/v1/encryption/public-key',
    action: 'encryptionKey',
    summary: 'Get the key that texts are encrypted for',
    answers: { 200: encryptionKeyView },
    refuses: ['not_found'],
  },
  getDefaults: {
    method: 'GET',
    path: '/api/v1/defaults',
    action: 'documents',
    summary: 'See what a request of /v1 becomes where it says nothing else',
    description: 'For programs that submit tasks and leave to the service what they cost and may take.',
    answers: { 200: defaultsView },
  },
  getAsyncApi: {
    method: 'GET',
    path: '/api/v1/asyncapi.json',
    action: 'documents',
    summary: 'Get the session protocols as an AsyncAPI document',
    answers: { 200: bare('application/json', anyObject) },
  },
  getOpenApi: {
    method: 'GET',
    path: '/openapi.json',
    action: 'documents',
    summary: 'Get this document',
    answers: { 200: bare('application/json', anyObject) },
  },
  getDocs: {
    method: 'GET',
    path: '/docs',
    action: 'documents',
    summary: 'Read this document as a page',
    answers: { 200: bare('text/html') },
  },
  getDocsFile: {
    method: 'GET',
    path: '/docs/:file',
    action: 'documents',
    summary: 'Get a file of that page',
    answers: { 200: bare(['text/css', 'text/javascript']), 304: null },
    says: ['ETag'],
    refuses: ['not_found'],
  },
} as const satisfies RouteTable
