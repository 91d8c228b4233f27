import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { hasOpenssl, makeCertificate } from '../support/certificate.js'
import { cli, configFile, serviceChild, signer } from '../support/child.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

const own = signer.replace('01'.repeat(32), '02'.repeat(32))
const modeOf = (file: string): number => statSync(file).mode & 0o777
const warnings = (child: { out: string[] }): string[] =>
  child.out
    .map((line) => JSON.parse(line) as { level: number; msg: string })
    .flatMap(({ level, msg }) => (level === 40 ? [msg] : []))

/** Runs a service that must not start. */
async function refused(config: string): Promise<string> {
  const child = cli(['run-inference-service', '--config', config, '--api-port', '0'])
  expect(await child.exit).toEqual({ code: 2, signal: null })
  expect(child.err).toHaveLength(1)
  return child.err[0] ?? ''
}

describe.skipIf(process.platform === 'win32')('on a machine with other users', () => {
  test.each([0o644, 0o640, 0o604])("a configuration with the signer's key of mode %i is refused", async (mode) => {
    const config = configFile('', tempDir(), own)
    chmodSync(config, mode)
    expect(await refused(config)).toContain(
      `${config}: others on this machine can read the signer's key (mode 0${mode.toString(8)}); run: chmod 600 ${config}, or give --insecure-permissions`,
    )
  })

  test('it is taken with mode 0600 without a word, and open with --insecure-permissions and a warning', async () => {
    const config = configFile('', tempDir(), own)
    chmodSync(config, 0o600)
    expect(warnings(await serviceChild(config))).toEqual([])
    chmodSync(config, 0o644)
    const open = await serviceChild(config, ['--insecure-permissions', '--database', join(tempDir(), 'other.db')])
    expect(warnings(open)).toEqual([expect.stringContaining(`chmod 600 ${config}`)])
  })

  test('the public example key is warned of, and refused on mainnet', async () => {
    const config = configFile()
    chmodSync(config, 0o644)
    expect(warnings(await serviceChild(config))).toEqual([expect.stringContaining('is the public example key')])
    const mainnet = configFile('', tempDir(), signer.replace('testnet', 'mainnet'))
    expect(await refused(mainnet)).toContain('is the public example key, from which anyone can spend')
    const long = configFile(
      '',
      tempDir(),
      signer.replace('testnet', 'mainnet').replace(/"(01)+"/, `"${'01'.repeat(33)}"`),
    )
    expect(await refused(long)).toContain('is the public example key')
  })

  test.runIf(hasOpenssl)('a tls_key that others can read is refused', async () => {
    const dir = tempDir()
    const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
    makeCertificate(cert, key)
    const config = configFile(`tls_cert = '${cert}'\ntls_key = '${key}'`)
    chmodSync(key, 0o644)
    expect(await refused(config)).toContain(`${key}: others on this machine can read the key of the certificate`)
  })

  test('what the service makes is for its user alone: the database, its log, backups, folders', async () => {
    const dir = tempDir()
    const [data, backups] = [join(dir, 'data'), join(dir, 'backups')]
    const service = await serviceChild(configFile(`backup_dir = '${backups}'`), ['--database', join(data, 'tasks.db')])
    await service.submit()
    await until(() => (service.out.some((line) => line.includes('backup.made')) ? true : null), 'a backup')
    expect([modeOf(data), modeOf(backups)]).toEqual([0o700, 0o700])
    const files = [data, backups].flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
    expect(files.length).toBeGreaterThan(3)
    for (const file of files) expect([file, modeOf(file)]).toEqual([file, 0o600])
    const copy = cli(['backup', join(dir, 'copy.db'), '--config', configFile(), '--database', join(data, 'tasks.db')])
    expect(await copy.exit).toMatchObject({ code: 0 })
    expect(modeOf(join(dir, 'copy.db'))).toBe(0o600)
  })

  test('a database that others can read is warned of, with what to run', async () => {
    const data = join(tempDir(), 'data')
    mkdirSync(data)
    const file = join(data, 'tasks.db')
    writeFileSync(file, '')
    chmodSync(file, 0o644)
    const service = await serviceChild(configFile(), ['--database', file])
    await until(
      () => warnings(service).find((w) => w.includes(`run: chmod 600 ${file} ${file}-wal`)) ?? null,
      'a warning',
    )
  })
})
