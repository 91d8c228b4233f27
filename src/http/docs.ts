import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { PAGE_STYLE, plainPage } from '../contract/page.js'
import type { RestDocument } from '../contract/openapi.js'

/** A page, and what it may do. */
export interface Page {
  html: Buffer
  policy: string
}
export interface PageFile {
  bytes: Buffer
  type: string
}
/** What is shown at /docs: `tag` changes with every byte of the files. */
export interface Docs {
  page: Page
  files: ReadonlyMap<string, PageFile>
  tag: string
}

/** Nothing but what is named in the page, nowhere else, in no frame. */
const NOTHING_ELSE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
const SCRIPT = 'text/javascript; charset=utf-8'
const START = `'use strict'
SwaggerUIBundle({ url: 'openapi.json', dom_id: '#page', validatorUrl: null, deepLinking: true, showExtensions: true })
`

const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes)

/**
 * Where swagger-ui-dist is; null where it is not installed: nothing needs it.
 * @param from who would need it: the URL of a module
 */
export function findSwagger(from: string = import.meta.url): string | null {
  try {
    return dirname(createRequire(from).resolve('swagger-ui-dist/package.json'))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND') return null
    throw error
  }
}

/**
 * The contract as a page, with the files that it needs: that of swagger-ui-dist where it is installed, else one without scripts.
 * @param folder of swagger-ui-dist
 */
export async function readDocs(document: () => RestDocument, folder: string | null): Promise<Docs> {
  if (folder === null) {
    const policy = `default-src 'none'; img-src data:; style-src 'sha256-${sha256(PAGE_STYLE).digest('base64')}'; ${NOTHING_ELSE}`
    return { page: { html: Buffer.from(plainPage(document())), policy }, files: new Map(), tag: '' }
  }
  const files = new Map<string, PageFile>([
    ['swagger-ui.css', { bytes: await readFile(join(folder, 'swagger-ui.css')), type: 'text/css; charset=utf-8' }],
    ['swagger-ui-bundle.js', { bytes: await readFile(join(folder, 'swagger-ui-bundle.js')), type: SCRIPT }],
    ['start.js', { bytes: Buffer.from(START), type: SCRIPT }],
  ])
  const all = sha256('')
  for (const { bytes } of files.values()) all.update(bytes)
  const tag = all.digest('hex').slice(0, 16)
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Stacks inference service</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css?v=${tag}"></head><body><div id="page"></div>
<script src="docs/swagger-ui-bundle.js?v=${tag}"></script><script src="docs/start.js?v=${tag}"></script>
</body></html>
`
  const policy = `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; ${NOTHING_ELSE}`
  return { page: { html: Buffer.from(html), policy }, files, tag }
}
