import {
  auditPage,
  auditQuery,
  newTokenView,
  restTokenBody,
  rotateBody,
  tokensPage,
  tokensQuery,
} from '../wire/access.js'
import { challengeBody, walletBody } from '../wire/rest.js'
import { alertsView, challengeView, saidView, walletTokenView } from '../wire/service-answers.js'
import type { RouteTable } from './route.js'

/** Who may do what. */
export const accessRoutes = {
  listTokens: {
    method: 'GET',
    path: '/api/v1/tokens',
    action: 'tokens.list',
    summary: 'List tokens, newest first',
    query: tokensQuery,
    answers: { 200: tokensPage },
  },
  createToken: {
    method: 'POST',
    path: '/api/v1/tokens',
    action: 'tokens.create',
    summary: 'Make a token',
    description: 'The answer alone shows its secret, as `token`. An admin is made on the machine of the service only.',
    body: restTokenBody,
    answers: { 200: newTokenView },
    refuses: ['conflict'],
  },
  revokeToken: {
    method: 'DELETE',
    path: '/api/v1/tokens/:id',
    action: 'tokens.revoke',
    summary: 'Revoke a token',
    answers: { 200: saidView },
    refuses: ['not_found'],
  },
  rotateToken: {
    method: 'POST',
    path: '/api/v1/tokens/:id/rotate',
    action: 'tokens.rotate',
    summary: 'Make the successor of a token',
    body: rotateBody,
    answers: { 200: newTokenView },
    refuses: ['not_found', 'conflict'],
  },
  readAudit: {
    method: 'GET',
    path: '/api/v1/audit',
    action: 'audit.list',
    summary: 'Read the audit',
    description: 'Newest first; with `after` the oldest first from there, without a filter.',
    query: auditQuery,
    answers: { 200: auditPage },
  },
  listAlerts: {
    method: 'GET',
    path: '/api/v1/alerts',
    action: 'alerts',
    summary: 'See what is out of the ordinary',
    answers: { 200: alertsView },
  },
} as const satisfies RouteTable

/** How wallets sign in. */
export const signInRoutes = {
  askChallenge: {
    method: 'POST',
    path: '/api/v1/auth/challenge',
    action: 'signIn',
    summary: 'Ask for a message that a wallet signs to sign in',
    body: challengeBody,
    answers: { 200: challengeView },
  },
  answerChallenge: {
    method: 'POST',
    path: '/api/v1/auth/token',
    action: 'signIn',
    summary: 'Get a token for the signature of a wallet',
    body: walletBody,
    answers: { 200: walletTokenView },
  },
} as const satisfies RouteTable
