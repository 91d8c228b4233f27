import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { restDocument } from '../../src/contract/openapi.js'
import { PAGE_STYLE, plainPage } from '../../src/contract/page.js'
import { findSwagger, readDocs } from '../../src/http/docs.js'
import { noBrowser, openPage } from '../support/browser.js'
import { startHttp } from '../support/http-server.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

test('the page at /docs loads its files from the service, and may do nothing else', async () => {
  const service = await startService()
  const page = await fetch(`${service.url}/docs`)
  expect(page.status).toBe(200)
  expect(Object.fromEntries(page.headers)).toMatchObject({
    'content-type': 'text/html; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
    'content-security-policy':
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  })
  const html = await page.text()
  expect(html).not.toMatch(/https?:/)
  const files = [...html.matchAll(/(?:href|src)="(docs\/[^"]+)"/g)].map((m) => m[1] ?? '')
  expect(files.map((file) => file.replace(/\?.*/, ''))).toEqual([
    'docs/swagger-ui.css',
    'docs/swagger-ui-bundle.js',
    'docs/start.js',
  ])
  for (const file of files) {
    const answer = await fetch(`${service.url}/${file}`)
    const bytes = await answer.arrayBuffer()
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe(
      file.includes('.css') ? 'text/css; charset=utf-8' : 'text/javascript; charset=utf-8',
    )
    expect(answer.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    expect(answer.headers.get('content-length')).toBe(String(bytes.byteLength))
    const etag = answer.headers.get('etag') ?? ''
    const again = await fetch(`${service.url}/${file}`, { headers: { 'if-none-match': etag } })
    expect([again.status, await again.text()]).toEqual([304, ''])
    const head = await fetch(`${service.url}/${file}`, { method: 'HEAD' })
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([
      200,
      String(bytes.byteLength),
      '',
    ])
  }
})

test('there is no other file, no other method, and no page of another origin gets it', async () => {
  const service = await startService()
  for (const path of ['/docs/package.json', '/docs/swagger-ui.js', '/docs/..%2Fpackage.json', '/docs/%2e%2e%2fx'])
    expect([path, (await service.get(path)).status]).toEqual([path, expect.toSatisfy((s) => s === 404 || s === 400)])
  for (const path of ['/docs', '/docs/start.js', '/openapi.json']) {
    const refused = await service.send('POST', path)
    expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    const foreign = await service.send('GET', path, null, { origin: 'https://evil.example' })
    expect([foreign.status, foreign.body?.code]).toEqual([403, 'forbidden_origin'])
  }
})

test('where swagger-ui-dist is not installed, a page without scripts says the same', async () => {
  const { page, files } = await readDocs(restDocument, null)
  const hash = createHash('sha256').update(PAGE_STYLE).digest('base64')
  expect(page.policy).toContain(`default-src 'none'; img-src data:; style-src 'sha256-${hash}';`)
  expect(files.size).toBe(0)
  const html = page.html.toString()
  expect(html).toContain(`<style>${PAGE_STYLE}</style>`)
  expect(html).not.toMatch(/<script|https?:|style=/)
  const { paths, components } = restDocument()
  for (const [path, methods] of Object.entries(paths))
    for (const [method, { operationId }] of Object.entries(methods))
      expect(html).toContain(
        `<h3 id="${operationId}"><span class="method">${method.toUpperCase()}</span> <code>${path}</code></h3>`,
      )
  for (const name of Object.keys(components.schemas)) expect(html).toContain(`<h3 id="${name}">${name}</h3>`)
  for (const [, target = ''] of html.matchAll(/href="#([^"]+)"/g)) expect(html).toContain(`id="${target}"`)
})

test('what a document says is text on that page', () => {
  const document = restDocument()
  const evil = '<img src=x onerror="alert(1)">`<b>`[x](javascript:alert(1))'
  const html = plainPage({ ...document, info: { title: evil, version: evil, description: evil } })
  expect(html).not.toMatch(/<img|<b>|href="javascript/)
})

test('the page is found only where it is installed', () => {
  expect(findSwagger()).toMatch(/swagger-ui-dist$/)
  expect(findSwagger(pathToFileURL(join(tempDir(), 'module.js')).href)).toBeNull()
})

/** A page of a browser, the hosts that it asks, and what it complains of. */
async function watchedPage() {
  const page = await openPage()
  const hosts = new Set<string>()
  const complaints: string[] = []
  page.on('request', (request) => hosts.add(new URL(request.url()).host || new URL(request.url()).protocol))
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(String(error)))
  return { page, hosts, complaints }
}
const operations = Object.values(restDocument().paths).flatMap((methods) => Object.keys(methods))

test.runIf(noBrowser === null)(
  'a browser shows every route, asks no other host and finds nothing forbidden',
  async () => {
    const service = await startService()
    const { page, hosts, complaints } = await watchedPage()
    await page.goto(`${service.url}/docs`)
    await page.waitForSelector('.opblock')
    expect(await page.locator('.opblock').count()).toBe(operations.length)
    await page.locator('#operations-Service-getHealth').click()
    await page.waitForSelector('#operations-Service-getHealth .responses-table')
    await page.locator('#operations-Tasks-submitTask').click()
    await page.waitForSelector('#operations-Tasks-submitTask .responses-table')
    expect(complaints).toEqual([])
    expect([...hosts].filter((host) => host !== service.host && host !== 'data:')).toEqual([])
  },
)

test.runIf(noBrowser === null)('a browser tries a route out from that page', async () => {
  const service = await startService()
  const { page, complaints } = await watchedPage()
  await page.goto(`${service.url}/docs`)
  const health = page.locator('#operations-Service-getHealth')
  await health.click()
  await health.locator('.try-out__btn').click()
  await health.locator('.execute').click()
  const answer = health.locator('.live-responses-table .response-col_status')
  await answer.filter({ hasText: '200' }).waitFor()
  expect(complaints).toEqual([])
})

test.runIf(noBrowser === null)('a browser shows the page without scripts in its colours, and asks nobody', async () => {
  const { html, policy } = (await readDocs(restDocument, null)).page
  const { url, port } = await startHttp((_, response) =>
    response
      .writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': policy })
      .end(html),
  )
  const { page, hosts, complaints } = await watchedPage()
  await page.goto(`${url}/docs`)
  expect(await page.locator('h3 .method').count()).toBe(operations.length)
  expect(await page.evaluate('getComputedStyle(document.body).color')).toBe('rgb(34, 34, 34)')
  await page.locator('a[href="#CallbackMessage"]').first().click()
  expect(await page.evaluate('location.hash')).toBe('#CallbackMessage')
  expect(complaints).toEqual([])
  expect([...hosts].filter((host) => host !== 'data:')).toEqual([`127.0.0.1:${port}`])
})
