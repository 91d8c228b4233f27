import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nkeys } from '@nats-io/transport-node'
import { describe, expect, onTestFinished, test } from 'vitest'
import { authenticatorOf, connectServers, type LogSettings } from '../../src/cluster/connection.js'
import { JournalUnreachable } from '../../src/cluster/port.js'
import { findLogServer } from '../../src/demo/cluster/log-servers.js'
import { ConfigError } from '../../src/lib/config-error.js'
import { silentLog } from '../../src/lib/log.js'
import { hasOpenssl, makeCertificate } from '../support/certificate.js'
import { runProgram } from '../support/child.js'
import { noLogServer } from '../support/log-servers.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

const settings = (more: Partial<LogSettings>): LogSettings => ({ name: 'prod', nats: [], monitor: [], ...more })
const attempt = async (of: LogSettings): Promise<unknown> => {
  try {
    const connection = await connectServers(of, silentLog())
    onTestFinished(() => connection.close())
    return 'connected'
  } catch (error) {
    return error
  }
}

test('a file of the settings that cannot be read is named, with its key', async () => {
  const nats = ['tls://127.0.0.1:1']
  for (const key of ['credentials', 'tls_ca']) {
    const error = await attempt(settings({ nats, [key]: '/nowhere/file' }))
    expect(error).toBeInstanceOf(ConfigError)
    expect(error).toMatchObject({
      message: expect.stringContaining(`inference.cluster.${key}: /nowhere/file cannot be read`),
    })
  }
})

test('credentials that are being written are those from before, until they are whole', () => {
  const [user, next] = [nkeys.createUser(), nkeys.createUser()]
  const text = (of: ReturnType<typeof nkeys.createUser>): string => {
    const seed = new TextDecoder().decode(of.getSeed())
    const block = (what: string, body: string): string => `-----BEGIN ${what}-----\n${body}\n------END ${what}------\n`
    return `${block('NATS USER JWT', `jwt.of.${of.getPublicKey()}`)}\n${block('USER NKEY SEED', seed)}`
  }
  const file = join(tempDir(), 'user.creds')
  writeFileSync(file, text(user))
  const authenticate = authenticatorOf(file)
  const shown = (): unknown => {
    const proof = authenticate('nonce')
    return proof !== undefined && 'nkey' in proof ? proof.nkey : proof
  }
  expect(shown()).toBe(user.getPublicKey())
  for (const half of [text(next).slice(0, 200), '']) {
    writeFileSync(file, half)
    expect(shown()).toBe(user.getPublicKey())
  }
  rmSync(file)
  expect(shown()).toBe(user.getPublicKey())
  writeFileSync(file, text(next))
  expect(shown()).toBe(next.getPublicKey())
})

test('a log that cannot be reached is named with its servers, without what is secret in their addresses', async () => {
  const error = await attempt(settings({ nats: ['nats://me:secret@127.0.0.1:1'] }))
  expect(error).toBeInstanceOf(JournalUnreachable)
  expect(error).toMatchObject({
    message: expect.stringMatching(/^the log \(nats:\/\/127\.0\.0\.1:1\) cannot be reached/),
  })
})

describe.skipIf(noLogServer !== null || !hasOpenssl)(noLogServer ?? 'by TLS', () => {
  /** One log server alone, with these lines in its configuration. */
  async function serverWith(...lines: string[]): Promise<string> {
    const file = join(tempDir(), 'nats.conf')
    writeFileSync(file, ['listen: "127.0.0.1:-1"', ...lines].join('\n'))
    const { err } = runProgram(findLogServer().path, ['-c', file])
    const said = await until(() => err.join('\n').match(/client connections on 127\.0\.0\.1:(\d+)/), 'the server')
    return `127.0.0.1:${said[1]}`
  }

  test('a server is believed that tls_ca has signed, and no other', async () => {
    const dir = tempDir()
    const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
    makeCertificate(cert, key)
    const server = await serverWith(`tls { cert_file: "${cert}", key_file: "${key}" }`)
    expect(await attempt(settings({ nats: [`tls://${server}`], tls_ca: cert }))).toBe('connected')
    const unknown = await attempt(settings({ nats: [`tls://${server}`] }))
    expect(unknown).toMatchObject({ message: expect.stringMatching(/cannot be reached: .*(self-signed|certificate)/) })
  })

  test('a server that does not speak TLS is not spoken to where tls:// is configured', async () => {
    const server = await serverWith()
    expect(await attempt(settings({ nats: [`nats://${server}`] }))).toBe('connected')
    const plain = await attempt(settings({ nats: [`tls://${server}`] }))
    expect(plain).toMatchObject({ message: expect.stringMatching(/does not support 'tls'/) })
  })
})
