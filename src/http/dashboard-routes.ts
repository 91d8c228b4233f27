import { dashboardRoutes as routes } from '../contract/dashboard-routes.js'
import { refuse } from '../lib/result.js'
import { fail, noContent, ok, okPieces, type RouteContext } from './answers.js'
import type { DashboardFile } from './dashboard.js'
import { pathId } from './paths.js'
import type { RouteParts } from './route-parts.js'
import type { Routes } from './routes.js'

/** Nothing from anywhere else, in no frame. */
const POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
/** What the address of the page may be. An id is one segment. */
const VIEW = /^\/dashboard\/(?:(?:tasks|nodes)(?:\/[^/]+)?|fleet|feed|health)?$/
const PAGE = '/dashboard/'

const NOT_HERE = refuse(
  'not_found',
  'there is no dashboard here: it is switched off by [dashboard] enabled = false, or was not built (npm run build)',
)
const NO_FILE = refuse('not_found', 'the dashboard has no such file')
const NO_VIEW = refuse('not_found', `the dashboard has no such view; it begins at ${PAGE}`)

/** The page for those who watch, and the way to it. */
export function dashboardRoutes({ get }: Routes, { dashboard = null }: RouteParts): void {
  const redirect = (c: RouteContext): Response =>
    new Response(null, { status: 302, headers: { ...c.env.headers, Location: PAGE, Vary: 'Accept, Origin' } })

  get(routes.getRoot, (c) => {
    if (dashboard === null) return fail(c, NOT_HERE)
    if (c.req.header('accept')?.includes('text/html') === true) return redirect(c)
    const { host = 'localhost', proto = 'http' } = c.env.remote
    return ok(c, { dashboard: `${proto}://${host}${PAGE}` }, { Vary: 'Accept, Origin' })
  })
  get(routes.getDashboardRoot, (c) => (dashboard === null ? fail(c, NOT_HERE) : redirect(c)))

  get(routes.getDashboardFile, (c) => {
    if (dashboard === null) return fail(c, NOT_HERE)
    const name = pathId(c.req.url, 'file', -1)
    if (!name.ok) return fail(c, name)
    const file = dashboard.assets.get(name.value)
    // The page asks for them by what is in them.
    return file === undefined
      ? fail(c, NO_FILE)
      : sendFile(c, file, { 'Cache-Control': 'public, max-age=31536000, immutable' })
  })
  get(routes.getDashboard, (c) => {
    if (dashboard === null) return fail(c, NOT_HERE)
    if (!VIEW.test(c.req.path)) return fail(c, NO_VIEW)
    return sendFile(c, dashboard.index, { 'Cache-Control': 'no-cache', 'Content-Security-Policy': POLICY })
  })
}

function sendFile(
  c: RouteContext,
  { bytes, gzip, type, tag }: DashboardFile,
  caching: Record<string, string>,
): Response {
  const accepts = c.req.header('accept-encoding')?.split(',') ?? []
  const zipped = gzip !== null && accepts.some((coding) => /^\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*$).*)?$/i.test(coding))
  const headers = { ...caching, ETag: `"${tag}${zipped ? '-gzip' : ''}"`, Vary: 'Accept-Encoding, Origin' }
  if (c.req.header('if-none-match') === headers.ETag) return noContent(c, 304, headers)
  const body = zipped ? gzip : bytes
  return okPieces(
    c,
    { pieces: [body], length: body.length },
    { ...headers, 'Content-Type': type, ...(zipped ? { 'Content-Encoding': 'gzip' } : {}) },
  )
}
