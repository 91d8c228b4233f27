import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { verifyDelegation } from '../../src/chain/delegations.js'
import { chainDefaults } from '../../src/config.js'
import { systemTime } from '../../src/lib/clock.js'
import type { Delegation } from '../../src/wire/delegation.js'
import { inProcess, refusedInProcess } from '../support/command.js'
import { identity } from '../support/identity.js'
import { connectNode } from '../support/node-session.js'
import { signer } from '../support/receipts.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

const NODE = identity('n').publicKey
const ADDRESS = 'ST3Y74M5227FDVHREWPH773F5Y1W1ED8WXXVB0G1S'

function file(text: string, mode = 0o600): string {
  const name = join(tempDir(), `file-${crypto.randomUUID()}`)
  writeFileSync(name, text)
  chmodSync(name, mode)
  return name
}
const sign = (key: string, ...more: string[]) =>
  inProcess(['delegations', 'sign', '--key-file', file(key), '--node-key', NODE, ...more])

test('delegations sign prints what the owner of the address has signed, on the network that was asked for', async () => {
  const made = (await sign(`${'11'.repeat(32)}01\n`, '--network', 'testnet')).json() as Delegation
  expect(made).toMatchObject({ node_key: NODE, address: ADDRESS })
  expect((await verifyDelegation(made, 'testnet')).ok).toBe(true)
  expect((await verifyDelegation(made, 'devnet')).ok).toBe(false)
  const onMainnet = (await sign('11'.repeat(32))).json() as Delegation
  expect(onMainnet.public_key).toMatch(/^04/)
  expect((await verifyDelegation(onMainnet, 'mainnet')).ok).toBe(true)
})

test('delegations are added, listed and revoked', async () => {
  const service = await startService({}, systemTime, { signer, chain: chainDefaults({ poll_interval: 3600 }) })
  const at = ['--url', service.url]
  await connectNode(service, 'n')
  const made = await sign(`${'11'.repeat(32)}01`, '--network', 'testnet')
  expect((await inProcess(['delegations', 'add', file(made.out.join('\n')), ...at])).out).toEqual([
    `${NODE}: may be paid at ${ADDRESS}; give that address to the node as its node_address`,
  ])
  const { out } = await inProcess(['delegations', 'list', ...at])
  expect(out[0]).toMatch(/^NODE KEY +PAID AT +SINCE$/i)
  expect(out[2]).toMatch(new RegExp(`^${NODE} +${ADDRESS} +\\d{4}-`))
  expect((await inProcess(['delegations', 'list', '--json', ...at])).json()).toMatchObject({
    delegations: [made.json()],
    next_cursor: null,
  })
  expect((await inProcess(['delegations', 'revoke', `0x${NODE}`, ...at])).out).toEqual([
    `${NODE}: revoked; the node is paid at the address of its key from its next result on`,
  ])
  await refusedInProcess(['delegations', 'revoke', NODE, ...at], 1, ['node_key: there is no delegation of'])
})

test('what is no key, no delegation or no network is refused, and so is a key that others can read', async () => {
  const key = file('11'.repeat(32))
  const flags = (keyFile: string, node = NODE) => ['delegations', 'sign', '--key-file', keyFile, '--node-key', node]
  await refusedInProcess([...flags(key), '--network', 'moonnet'], 2, ['--network: must be one of mainnet, testnet'])
  await refusedInProcess(flags(key, 'node-001'), 2, ['must be a secp256k1 public key'])
  await refusedInProcess(flags(file('00'.repeat(32))), 2, ['must hold a private key of secp256k1'])
  await refusedInProcess(flags(`${key}.none`), 2, ['cannot be read'])
  if (process.platform !== 'win32')
    await refusedInProcess(flags(file('11'.repeat(32), 0o644)), 2, ['others on this machine can read the key'])
  await refusedInProcess(['delegations', 'add', file('{}')], 2, ['is no delegation (node_key: '])
})

test('a service that does not look at the chain says so, and not that it has no such route', async () => {
  const service = await startService({}, systemTime, { signer })
  await refusedInProcess(['delegations', 'list', '--url', service.url], 1, ['its configuration has no section [chain]'])
})
