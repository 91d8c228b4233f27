import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { get } from 'node:https'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

describe.runIf(spawnSync('openssl', ['version']).status === 0)('with a certificate', () => {
  test('REST is https and sessions are wss', async () => {
    const dir = tempDir()
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-keyout',
        key,
        '-out',
        cert,
        '-days',
        '2',
        '-subj',
        '/CN=localhost',
        '-addext',
        'subjectAltName=IP:127.0.0.1',
      ],
      { stdio: 'ignore' },
    )
    const service = await startService({ tls_cert: cert, tls_key: key })
    expect(service.url).toMatch(/^https:/)
    const ca = readFileSync(cert)
    const status = await new Promise((resolve, reject) =>
      get(`${service.url}/health`, { ca }, (r) => resolve(r.resume().statusCode)).on('error', reject),
    )
    expect(status).toBe(200)
    const socket = new WebSocket(`wss://${service.host}/api/v1/nodes/connect`, 'inference-node.v1', { ca })
    const challenge = await new Promise<string>((resolve, reject) =>
      socket.on('message', (d: Buffer) => resolve(d.toString())).on('error', reject),
    )
    expect(JSON.parse(challenge)).toMatchObject({ type: 'session.challenge', protocol: 1 })
    socket.terminate()
  })
})
