import { createHash } from 'node:crypto'
import { chmod, chown, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ConfigError, createIdentity, defaultNodeId, loadIdentity } from '../../src/inference-node/index.js'
import { normalizeKey, verifySignature } from '../../src/wire/keys.js'
import { tempDir } from '../support/temp-dir.js'

test('a key is made on first start, for its owner only, and is the same ever after', async () => {
  const file = join(tempDir(), 'data', 'keys', 'node.key')
  const first = loadIdentity(file)
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect((await stat(join(file, '..'))).mode & 0o777).toBe(0o700)
  expect(await readFile(file, 'utf8')).toMatch(/^-----BEGIN PRIVATE KEY-----\n/)
  expect(loadIdentity(file).publicKey).toBe(first.publicKey)
  expect(normalizeKey(first.publicKey)).toBe(first.publicKey)
})

test('a signature is compact and by the public key', () => {
  const identity = createIdentity()
  const signature = identity.sign('text')
  expect(signature).toMatch(/^[0-9a-f]{128}$/)
  expect(verifySignature(identity.publicKey, 'text', signature)).toBe(true)
  expect(verifySignature(createIdentity().publicKey, 'text', signature)).toBe(false)
})

test('the default node_id follows from the key', () => {
  const identity = createIdentity()
  const digest = createHash('sha256').update(Buffer.from(identity.publicKey, 'hex')).digest('hex')
  expect(defaultNodeId(identity)).toBe(`node-${digest.slice(0, 16)}`)
})

test.each([0o640, 0o604, 0o666])('a key that others can read (mode %i) is refused with what to do', async (mode) => {
  const file = join(tempDir(), 'node.key')
  loadIdentity(file)
  await chmod(file, mode)
  expect(() => loadIdentity(file)).toThrow(
    new ConfigError(
      `${file}: others on this machine can read the node's key (mode 0${mode.toString(8)}); run: chmod 600 ${file}`,
    ),
  )
  await chmod(file, 0o400)
  loadIdentity(file)
})

test.runIf(process.getuid?.() === 0)('a key that root hands to our group, as Kubernetes does, is taken', async () => {
  const file = join(tempDir(), 'node.key')
  loadIdentity(file)
  await chown(file, 1, 0)
  await chmod(file, 0o440)
  loadIdentity(file)
  await chmod(file, 0o444)
  expect(() => loadIdentity(file)).toThrow('(mode 0444)')
})

test('what is no such key is refused in one line, and stays as it is', async () => {
  const file = join(tempDir(), 'node.key')
  const otherCurve = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString()
  for (const content of ['', 'garbage', otherCurve]) {
    await writeFile(file, content, { mode: 0o600 })
    expect(() => loadIdentity(file)).toThrow(/^[^\n]*is not a secp256k1 private key[^\n]*$/)
    expect(await readFile(file, 'utf8')).toBe(content)
  }
})

test('a place where no file can be is refused in one line', async () => {
  const folder = tempDir()
  await mkdir(join(folder, 'node.key'))
  expect(() => loadIdentity(join(folder, 'node.key'))).toThrow(ConfigError)
  await writeFile(join(folder, 'file'), '')
  expect(() => loadIdentity(join(folder, 'file', 'node.key'))).toThrow(/^[^\n]*cannot be kept there[^\n]*$/)
})
