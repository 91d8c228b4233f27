import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findLogServer, startLogServers } from '../../src/demo/cluster/log-servers.js'
import { tempDir } from '../support/temp-dir.js'

/** A program that says this as its version. */
function program(says: string): string {
  const file = join(tempDir(), 'nats-server')
  writeFileSync(file, `#!/bin/sh\necho "${says}"\n`)
  chmodSync(file, 0o755)
  return file
}

test('the log server is that of NATS_SERVER, else that of PATH', () => {
  const [named, found] = [program('nats-server: v2.12.0'), program('nats-server: v2.10.23')]
  const env = { PATH: `${join(found, '..')}:${process.env['PATH']}` }
  expect(findLogServer({ ...env, NATS_SERVER: named })).toEqual({ path: named, version: '2.12.0' })
  expect(findLogServer(env)).toEqual({ path: 'nats-server', version: '2.10.23' })
})

test.each([
  ['nats-server: v2.10.22', /of version 2\.10\.22, which is too old: install nats-server 2\.10\.23 or later/],
  ['nats-server: v2.9.99', /too old/],
  ['another program', /can be run: install nats-server/],
])('"%s" is refused with what to install', (says, said) => {
  expect(() => findLogServer({ ...process.env, NATS_SERVER: program(says) })).toThrow(said)
})

test('without any the sentence says so too', () => {
  expect(() => findLogServer({ PATH: tempDir() })).toThrow(/there is no nats-server that can be run: install/)
})

test('servers that end at once are told with the end of their log', async () => {
  const broken = program('no port for me')
  await expect(startLogServers(tempDir(), { program: broken })).rejects.toThrow(/has ended: no port for me/)
})
