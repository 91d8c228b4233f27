import * as v from 'valibot'
import { bare, type RouteTable } from './route.js'

/** The page for those who watch the service, and the way to it. */
export const dashboardRoutes = {
  getRoot: {
    method: 'GET',
    path: '/',
    action: 'documents',
    summary: 'Find the dashboard',
    description: 'A browser, which accepts `text/html`, is led there; everybody else is told where it is.',
    headers: { Accept: 'Whether it is a browser that asks' },
    answers: { 200: v.object({ dashboard: v.string() }), 302: null },
    says: ['Location'],
    refuses: ['not_found'],
  },
  getDashboardRoot: {
    method: 'GET',
    path: '/dashboard',
    action: 'documents',
    summary: 'Be led to the dashboard',
    answers: { 302: null },
    says: ['Location'],
    refuses: ['not_found'],
  },
  getDashboardFile: {
    method: 'GET',
    path: '/dashboard/assets/:file',
    action: 'documents',
    summary: 'Get a file of the dashboard',
    answers: { 200: bare(['text/css', 'text/javascript', 'image/svg+xml']), 304: null },
    says: ['ETag'],
    refuses: ['not_found'],
  },
  getDashboard: {
    method: 'GET',
    // Also an id below a view, and nothing at all: what is shown is for the page to say.
    path: '/dashboard/:view{.*}',
    action: 'documents',
    summary: 'Open the dashboard at one of its views',
    answers: { 200: bare('text/html'), 304: null },
    says: ['ETag'],
    refuses: ['not_found'],
  },
} as const satisfies RouteTable
