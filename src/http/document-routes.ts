import { restDocument } from '../contract/openapi.js'
import { serviceRoutes as routes } from '../contract/service-routes.js'
import { once } from '../lib/once.js'
import { refuse } from '../lib/result.js'
import { fail, noContent, okPieces, text } from './answers.js'
import { findSwagger, readDocs } from './docs.js'
import { pathId } from './paths.js'
import type { RouteParts } from './route-parts.js'
import type { Routes } from './routes.js'

const NO_FILE = refuse('not_found', 'the page at /docs has no such file')

/** The contracts as documents, and as a page. Each is made when it is first asked for. */
export function documentRoutes({ get }: Routes, { asyncapi }: RouteParts): void {
  const sessions = once(() => JSON.stringify(asyncapi))
  const document = once(restDocument)
  const published = once(() => JSON.stringify(document()))
  const docs = once(() => readDocs(document, findSwagger()))

  get(routes.getAsyncApi, (c) => text(c, sessions()))
  get(routes.getOpenApi, (c) => text(c, published()))
  get(routes.getDocs, async (c) => {
    const { html, policy } = (await docs()).page
    return okPieces(
      c,
      { pieces: [html], length: html.length },
      { 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': policy },
    )
  })
  get(routes.getDocsFile, async (c) => {
    const name = pathId(c.req.url, 'file', -1)
    if (!name.ok) return fail(c, name)
    const { files, tag } = await docs()
    const file = files.get(name.value)
    if (file === undefined) return fail(c, NO_FILE)
    // The page asks for them by what is in them.
    const caching = { ETag: `"${tag}"`, 'Cache-Control': 'public, max-age=31536000, immutable' }
    if (c.req.header('if-none-match') === caching.ETag) return noContent(c, 304, caching)
    return okPieces(c, { pieces: [file.bytes], length: file.bytes.length }, { 'Content-Type': file.type, ...caching })
  })
}
