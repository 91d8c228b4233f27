import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync, gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { readDashboard } from '../../src/http/dashboard.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

const built = fileURLToPath(new URL('../../dist/dashboard/', import.meta.url))
const index = readFileSync(join(built, 'index.html'), 'utf8')

test('a browser is led to the dashboard, and others are told where it is', async () => {
  const service = await startService()
  const browser = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' }
  for (const path of ['/', '/dashboard']) {
    const led = await fetch(service.url + path, { headers: browser, redirect: 'manual' })
    expect([path, led.status, led.headers.get('location')]).toEqual([path, 302, '/dashboard/'])
  }
  const told = await service.get('/')
  expect(told.body).toEqual({ success: true, data: { dashboard: `${service.url}/dashboard/` }, error: null })
  const proxied = await startService({ trusted_proxies: ['127.0.0.1'], public_hosts: ['pool.example.org'] })
  const headers = { 'x-forwarded-host': 'pool.example.org', 'x-forwarded-proto': 'https' }
  expect((await proxied.send('GET', '/', null, headers)).body?.data).toEqual({
    dashboard: 'https://pool.example.org/dashboard/',
  })
})

test('each view of the page is served, and no other', async () => {
  const service = await startService()
  for (const view of ['', 'tasks', 'tasks/a-task', 'tasks/a%2Fb', 'nodes', 'nodes/n1?x=1', 'fleet', 'feed', 'health']) {
    const page = await fetch(`${service.url}/dashboard/${view}`)
    expect([view, page.status, page.headers.get('content-encoding')]).toEqual([view, 200, 'gzip'])
    expect(await page.text()).toBe(index)
    expect(Object.fromEntries(page.headers)).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    })
  }
  for (const view of ['nothing', 'tasks/a/b', 'fleet/x', 'index.html', 'assets/nothing.js', 'assets/..%2Findex.html'])
    expect([view, (await service.get(`/dashboard/${view}`)).status]).toEqual([
      view,
      expect.toSatisfy((s) => s === 404 || s === 400),
    ])
  for (const path of ['/', '/dashboard', '/dashboard/tasks', '/dashboard/assets/x.js'])
    expect((await service.send('POST', path)).headers.get('allow')).toBe('GET, HEAD')
})

test('the files of the page are kept by a browser for good, and come compressed to who takes that', async () => {
  const service = await startService()
  const names = readdirSync(join(built, 'assets')).filter((name) => !name.endsWith('.gz'))
  expect(names.filter((name) => !/-[\w-]{8}\.(?:js|css|svg)$/.test(name))).toEqual([])
  for (const name of names) {
    const url = `${service.url}/dashboard/assets/${name}`
    const bytes = readFileSync(join(built, 'assets', name))
    const answer = await fetch(url)
    const zipped = existsSync(join(built, 'assets', `${name}.gz`))
    // What gains nothing by it is sent as it is.
    expect([name, zipped || bytes.length < 200]).toEqual([name, true])
    expect([name, answer.status, answer.headers.get('content-encoding')]).toEqual([name, 200, zipped ? 'gzip' : null])
    expect(answer.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    expect(answer.headers.get('vary')).toContain('Accept-Encoding')
    expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true)
    if (!zipped) continue
    expect(gunzipSync(readFileSync(join(built, 'assets', `${name}.gz`))).equals(bytes)).toBe(true)
    for (const coding of ['identity', 'gzip;q=0', 'br']) {
      const plain = await fetch(url, { headers: { 'accept-encoding': coding } })
      expect([name, coding, plain.headers.get('content-encoding')]).toEqual([name, coding, null])
      expect(plain.headers.get('content-length')).toBe(String(bytes.length))
      expect(plain.headers.get('etag')).not.toBe(answer.headers.get('etag'))
    }
    const again = await fetch(url, { headers: { 'if-none-match': answer.headers.get('etag') ?? '' } })
    expect([again.status, await again.text()]).toEqual([304, ''])
  }
})

test('the page names its files by what is in them, loads nothing from elsewhere, and has no script of its own', () => {
  expect(index).not.toMatch(/https?:|<style|style=|<script(?![^>]* src="\/dashboard\/assets\/)/)
  const named = [...index.matchAll(/(?:href|src)="([^"]+)"/g)].map((m) => m[1] ?? '')
  expect(named.length).toBeGreaterThan(2)
  for (const path of named) expect(readFileSync(join(built, path.replace('/dashboard/', ''))).length).toBeGreaterThan(0)
})

test('all that the first view loads is less than 60 kB compressed, in each language', () => {
  const assets = readdirSync(join(built, 'assets'))
  const sizeOf = (name: string): number => gzipSync(readFileSync(join(built, 'assets', name)), { level: 9 }).length
  const first = [...index.matchAll(/assets\/([^"]+)"/g)].map((m) => m[1] ?? '')
  for (const language of ['en', 'zh']) {
    const words = assets.filter((name) => name.startsWith(`${language}-`) && name.endsWith('.js'))
    expect(words).toHaveLength(1)
    const bytes = [...first, ...words].reduce((sum, name) => sum + sizeOf(name), 0)
    expect(bytes).toBeLessThan(60_000)
  }
  // With every view and every language.
  const all = assets.filter((name) => !name.endsWith('.gz')).reduce((sum, name) => sum + sizeOf(name), 0)
  expect(all).toBeLessThan(85_000)
})

test('where it is switched off, or was not built, there is no page', async () => {
  expect(readDashboard(tempDir())).toBeNull()
  const service = await startService({}, undefined, { dashboard: { enabled: false } })
  for (const path of ['/', '/dashboard', '/dashboard/', '/dashboard/tasks', '/dashboard/assets/x.js']) {
    const answer = await service.get(path)
    expect([path, answer.status, answer.body?.code]).toEqual([path, 404, 'not_found'])
    expect(answer.body?.error).toContain('[dashboard] enabled')
  }
})

test('nobody needs a token for the page, which shows nothing by itself; a page of another origin does not get it', async () => {
  const service = await startService({ auth: { mode: 'on' } as never })
  expect((await fetch(`${service.url}/dashboard/`)).status).toBe(200)
  expect((await service.get('/api/v1/tasks')).status).toBe(401)
  const foreign = await service.send('GET', '/dashboard/', null, { origin: 'https://evil.example' })
  expect([foreign.status, foreign.body?.code]).toEqual([403, 'forbidden_origin'])
})
