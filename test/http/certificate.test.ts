import { X509Certificate } from 'node:crypto'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createClusterCoordinator } from '../../src/cluster-coordinator.js'
import { JournalUnreachable } from '../../src/cluster/port.js'
import { createCoordinator, inferenceDefaults } from '../../src/coordinator.js'
import { systemTime } from '../../src/lib/clock.js'
import { silentLog } from '../../src/lib/log.js'
import { openDatabase } from '../../src/store/open.js'
import { hasOpenssl, makeCertificate } from '../support/certificate.js'
import { cli, configFile } from '../support/child.js'
import { clusterSettingsOf } from '../support/cluster.js'
import { calm, startService, type Service } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

/** A folder with a certificate and its key. */
function certificate(options: Parameters<typeof makeCertificate>[2] = {}) {
  const dir = tempDir()
  const tls = { tls_cert: join(dir, 'cert.pem'), tls_key: join(dir, 'key.pem') }
  makeCertificate(tls.tls_cert, tls.tls_key, options)
  return tls
}

/** Whose certificate a new connection is shown. */
const served = (service: Pick<Service, 'url'>) =>
  new Promise<string>((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(service.url).port), rejectUnauthorized: false })
    socket.once('secureConnect', () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    })
    socket.once('error', reject)
  })

const health = (service: Service) =>
  new Promise<{ data: { status: string; warning?: string } }>((resolve, reject) => {
    get(`${service.url}/health`, { rejectUnauthorized: false }, (response) => {
      let text = ''
      response.on('data', (part: Buffer) => (text += part.toString()))
      response.on('end', () => resolve(JSON.parse(text) as { data: { status: string } }))
    }).on('error', reject)
  })

describe.runIf(hasOpenssl)('a certificate', () => {
  test('that cannot be used ends the start with a sentence and exit code 2, and locks nothing', async () => {
    const [good, other] = [certificate(), certificate()]
    const dir = tempDir()
    const letter = join(dir, 'letter.pem')
    writeFileSync(letter, 'this is no certificate', { mode: 0o600 })
    for (const [tls, ...parts] of [
      [{ ...good, tls_cert: letter }, 'inference.tls_cert', letter, 'is not a certificate in PEM'],
      [{ ...good, tls_key: letter }, 'inference.tls_key', letter, 'is not a private key in PEM'],
      [{ ...good, tls_key: other.tls_key }, 'inference.tls_key', 'is not the key of the certificate in', good.tls_cert],
      [{ ...good, tls_key: join(dir, 'none.pem') }, 'inference.tls_key', 'cannot be read'],
    ] as const) {
      const database_path = join(dir, 'inference.db')
      const settings = inferenceDefaults({ database_path, api_port: 0, ...tls })
      for (const part of parts) expect(() => createCoordinator({ settings, log: silentLog() })).toThrow(part)
      openDatabase(database_path).close() // nobody holds it
      const lines = [`tls_cert = '${tls.tls_cert}'`, `tls_key = '${tls.tls_key}'`, 'api_port = 0']
      const child = cli(['run-inference-service', '--config', configFile(lines.join('\n'))])
      expect(await child.exit).toEqual({ code: 2, signal: null })
      expect(child.err).toHaveLength(1)
      for (const part of parts) expect(child.err[0]).toContain(part)
    }
  })

  test('that changes is served without a restart, and a bad one is logged and not taken', async () => {
    const lines: string[] = []
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
    const tls = certificate({ name: 'first' })
    const service = await startService(tls, systemTime, { log, certificateInterval: 20 })
    expect(await served(service)).toBe('first')

    const next = certificate({ name: 'second' })
    // In this order, as most renewals do: between the two the files do not belong together.
    copyFileSync(next.tls_cert, tls.tls_cert)
    await until(() => lines.find((line) => line.includes('tls.reload_failed')) ?? null, 'the half of it being refused')
    expect(await served(service)).toBe('first')
    copyFileSync(next.tls_key, tls.tls_key)
    await until(async () => ((await served(service)) === 'second' ? true : null), 'the second one')
    expect(lines.some((line) => line.includes('tls.reloaded'))).toBe(true)

    const failures = () => lines.filter((line) => line.includes('tls.reload_failed')).length
    const before = failures()
    writeFileSync(tls.tls_cert, 'this is no certificate')
    await until(() => (failures() > before ? true : null), 'the bad one being refused')
    expect(lines.at(-1)).toContain('is not a certificate in PEM')
    expect(await served(service)).toBe('second')
    expect((await health(service)).data).toMatchObject({ status: 'healthy' })
  })

  test('that changes is served by a coordinator that waits for the work too', async () => {
    const tls = certificate({ name: 'first' })
    const cluster = clusterSettingsOf('c1', 'https://127.0.0.1:1')
    const settings = inferenceDefaults({
      ...calm,
      ...tls,
      database_path: join(tempDir(), 'c1.db'),
      api_port: 0,
      cluster,
    })
    const lines: string[] = []
    const coordinator = createClusterCoordinator({
      settings,
      cluster,
      logger: pino({ level: 'info' }, { write: (line: string) => void lines.push(line) }),
      create: () => expect.unreachable('there is no log'),
      connectTo: () => Promise.reject(new JournalUnreachable('the log is away')),
      certificateInterval: 20,
    })
    const { port } = await coordinator.start()
    onTestFinished(() => coordinator.stop())
    const service = { url: `https://127.0.0.1:${port}` }
    expect(await served(service)).toBe('first')
    const next = certificate({ name: 'second' })
    copyFileSync(next.tls_cert, tls.tls_cert)
    copyFileSync(next.tls_key, tls.tls_key)
    await until(async () => (await served(service)) === 'second', 'the second one')
    expect(lines.some((line) => line.includes('tls.reloaded'))).toBe(true)
  })

  test('that ends within 14 days is warned of in /health, and no other', async () => {
    const [soon, later] = [certificate({ days: 13 }), certificate({ days: 15 })]
    const end = new Date(new X509Certificate(readFileSync(soon.tls_cert)).validTo).toISOString()
    const { data } = await health(await startService(soon))
    expect(data.status).toBe('healthy')
    expect(data.warning).toContain(`the certificate in ${soon.tls_cert} ends on ${end.slice(0, 10)}`)
    expect((await health(await startService(later))).data).not.toHaveProperty('warning')
  })
})
