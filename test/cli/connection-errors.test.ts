import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { hasOpenssl, makeCertificate } from '../support/certificate.js'
import { cli } from '../support/child.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

/** What a command says on standard error, in one line, before it ends with exit code 1. */
async function said(url: string, args = ['nodes', 'list'], env: Record<string, string> = {}): Promise<string> {
  const child = cli([...args, '--url', url], { env })
  expect(await child.exit, args.join(' ')).toEqual({ code: 1, signal: null })
  expect(child.out).toEqual([])
  expect(child.err).toHaveLength(1)
  return child.err[0] ?? ''
}

/** A server that answers everything alike. */
async function answering(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createHttpServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
const withStatus = (status: number, type: string, body: string, headers: Record<string, string> = {}) =>
  answering((_, response) => response.writeHead(status, { 'content-type': type, ...headers }).end(body))

const ADVICE = 'give the address of the service with --url or STACKS_SIGNER_URL'

test('an address where nothing listens, and a host that is not there', async () => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const url = `http://127.0.0.1:${(holder.address() as AddressInfo).port}`
  holder.close()
  await once(holder, 'close')
  expect(await said(url)).toBe(
    `stacks-signer: ${url} cannot be reached (ECONNREFUSED): nothing listens there; start the service, or ${ADVICE}`,
  )
  expect(await said('http://nowhere.invalid')).toMatch(/^stacks-signer: http:\/\/nowhere\.invalid cannot be reached/)
})

test.runIf(hasOpenssl)('a service that speaks TLS where none is spoken to it, and the other way round', async () => {
  const dir = tempDir()
  const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
  makeCertificate(certFile, keyFile)
  const secure = await startService({ tls_cert: certFile, tls_key: keyFile })
  const plain = await startService()
  expect(await said(plain.url.replace('http:', 'https:'))).toBe(
    `stacks-signer: ${plain.url.replace('http:', 'https:')} does not speak TLS: try ${plain.url}`,
  )
  expect(await said(secure.url.replace('https:', 'http:'))).toContain(`if it speaks TLS, try ${secure.url}`)
  expect(await said(secure.url)).toContain('NODE_EXTRA_CA_CERTS')
  const trusting = cli(['health', '--url', secure.url], { env: { NODE_EXTRA_CA_CERTS: certFile } })
  expect(await trusting.exit).toMatchObject({ code: 0 })
})

test('what is no coordinator is named as such, whatever it answers', async () => {
  const page = await withStatus(200, 'text/html; charset=utf-8', '<html>hello</html>')
  for (const args of [
    ['tasks', 'list'],
    ['nodes', 'show', 'n'],
    ['tasks', 'cancel', 'a'],
    ['tasks', 'watch', 'a'],
    ['stats'],
  ])
    expect(await said(page, args)).toBe(
      `stacks-signer: ${page} is no coordinator (it answers with text/html); ${ADVICE}`,
    )
  const missing = await withStatus(404, 'text/html', 'not found')
  expect(await said(missing)).toBe(
    `stacks-signer: ${missing} is no coordinator (it answers 404 to /api/v1/nodes); ${ADVICE}`,
  )
  const json = await withStatus(200, 'application/json', '{"success":true,"data":{"other":1},"error":null}')
  expect(await said(json)).toContain('not as this inference service does')
  const down = await withStatus(502, 'text/html', 'Bad Gateway')
  expect(await said(down)).toContain('answers 502, as a proxy does that cannot reach the service')
  const noise = createServer((socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n')).listen(0, '127.0.0.1')
  await once(noise, 'listening')
  onTestFinished(() => void noise.close())
  expect(await said(`http://127.0.0.1:${(noise.address() as AddressInfo).port}`)).toContain('does not speak HTTP')
})

test('a path that the service does not have, and a redirect, say which address is right', async () => {
  const service = await startService()
  expect(await said(`${service.url}/prefix`)).toContain(
    `${service.url}/prefix has no /api/v1/nodes; check the path of the address`,
  )
  const moved = await answering((request, response) =>
    response.writeHead(308, { location: `https://inference.example${request.url}` }).end(),
  )
  expect(await said(moved, ['tasks', 'list'])).toBe(
    `stacks-signer: ${moved} is elsewhere (308); use --url https://inference.example`,
  )
})

test('a login that a proxy wants goes into the address, and is not shown', async () => {
  const service = await startService()
  const locked = await answering((request, response) => {
    const good = `Basic ${Buffer.from('me:s%cret').toString('base64')}`
    if (request.headers.authorization !== good) return response.writeHead(401).end('who are you?')
    return void service.get(request.url ?? '').then(({ body }) => response.end(JSON.stringify(body)))
  })
  expect(await said(locked)).toBe(
    `stacks-signer: ${locked} wants a login (401); give user and password in the address, as in https://USER:PASSWORD@HOST`,
  )
  const { host } = new URL(locked)
  expect(await said(`http://me:wrong@${host}`)).not.toContain('wrong@')
  const child = cli(['nodes', 'list', '--json', '--url', `http://me:s%25cret@${host}`])
  expect(await child.exit).toMatchObject({ code: 0 })
})

test('the address comes from the flag, else from STACKS_SIGNER_URL', async () => {
  const service = await startService()
  await service.register('here')
  const inEnv = async (STACKS_SIGNER_URL: string, ...args: string[]) => {
    const child = cli(args, { env: { STACKS_SIGNER_URL } })
    return { ...(await child.exit), out: child.out.join('\n'), err: child.err.join('\n') }
  }
  for (const args of [['nodes', 'show', 'here'], ['nodes', 'list'], ['tasks', 'list'], ['stats'], ['health']])
    expect(await inEnv(service.url, ...args)).toMatchObject({ code: 0, err: '' })
  expect(await inEnv('http://nowhere.invalid', 'health', '--url', service.url)).toMatchObject({ code: 0 })
  expect(await inEnv('nonsense', 'stats')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/STACKS_SIGNER_URL: must be/),
  })
  expect(await inEnv('', 'stats', '--url', 'localhost:8080')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/--url: must be/),
  })
})
