import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createCoordinator, inferenceDefaults } from '../../src/coordinator.js'
import { ConfigError } from '../../src/lib/config-error.js'
import { silentLog } from '../../src/lib/log.js'
import { as, makeTokenIn } from '../support/access.js'
import { cli, configFile, serviceChild } from '../support/child.js'
import { serviceAt } from '../support/service.js'
import { Database } from '../../src/store/sqlite.js'
import { tempDir } from '../support/temp-dir.js'

const everywhere = ['--api-host', '0.0.0.0']
const fileOf = (config: string): string => join(dirname(config), 'inference_tasks.db')

/** That the command does not start, with exit code 2 and one line that says all of `parts`. */
async function refused(config: string, flags: string[], ...parts: string[]): Promise<void> {
  const { exit, err } = cli(['run-inference-service', '--config', config, '--api-port', '0', ...flags])
  expect({ ...(await exit), lines: err.length }).toEqual({ code: 2, signal: null, lines: 1 })
  for (const part of parts) expect(err[0]).toContain(part)
}

test('a service that others reach does not start without a token, and says which command makes one', async () => {
  const config = configFile()
  await refused(config, everywhere, '0.0.0.0 lets anybody in', 'tokens create --role admin', '--insecure')
  await refused(configFile('public_hosts = ["pool.example.org"]'), [], 'inference.public_hosts lets anybody in')
  await refused(configFile('trusted_proxies = ["127.0.0.1"]'), [], 'inference.trusted_proxies lets anybody in')
  makeTokenIn(fileOf(config), 'admin')
  await refused(config, everywhere, '0.0.0.0 without TLS', 'inference.tls_cert', '--plain-http')
})

test('with a token and --plain-http it starts there, and asks who everybody is', async () => {
  const config = configFile()
  const admin = makeTokenIn(fileOf(config), 'admin')
  const { url } = await serviceChild(config, [...everywhere, '--plain-http'])
  const service = serviceAt(url.replace('0.0.0.0', '127.0.0.1'))
  expect((await service.get('/api/v1/tasks')).status).toBe(401)
  expect((await as(service, admin).get('/api/v1/tasks')).status).toBe(200)
})

test('with --insecure it starts open, and warns in its log and in /health', async () => {
  const { url, out } = await serviceChild(configFile(), [...everywhere, '--insecure'])
  const service = serviceAt(url.replace('0.0.0.0', '127.0.0.1'))
  expect((await service.get('/api/v1/tasks')).status).toBe(200)
  const warning = 'anybody who reaches this service may do everything (--insecure)'
  expect((await service.get('/health')).body?.data.warning).toContain(warning)
  expect(out.filter((line) => line.includes('access.warning') && line.includes(warning))).toHaveLength(1)
})

test('on loopback it starts open without a word; with mode = "on" it asks, and says that nobody can do anything', async () => {
  const open = await serviceChild(configFile())
  expect((await open.get('/health')).body?.data).not.toHaveProperty('warning')
  const asking = await serviceChild(configFile('[inference.auth]\nmode = "on"'))
  expect((await asking.get('/api/v1/tasks')).status).toBe(401)
  expect(asking.out.some((line) => line.includes('no token is good'))).toBe(true)
})

test('a service that may not start leaves nothing open', async () => {
  const database_path = join(tempDir(), 'inference.db')
  const coordinator = createCoordinator({
    settings: inferenceDefaults({ database_path, api_port: 0, api_host: '0.0.0.0' }),
    log: silentLog(),
  })
  onTestFinished(() => coordinator.stop())
  await expect(coordinator.listen()).rejects.toThrow(ConfigError)
  await coordinator.stop()
  const db = new Database(database_path)
  db.exec('BEGIN EXCLUSIVE; COMMIT')
  db.close()
})
