import { expect, test } from 'vitest'
import { describeServiceConfig, loadServiceConfig } from '../../src/config.js'
import { shownSettings } from '../../src/shown-settings.js'
import type { ConfigurationView } from '../../src/wire/watch-answers.js'
import { as, startGuarded } from '../support/access.js'
import { configFile } from '../support/child.js'
import { startService } from '../support/service.js'

/** What must never be told, wherever it stands in a file. */
const SECRET = 'a1b2c3d4e5f6'
const full = (): string =>
  configFile(
    `api_port = 9999
data_key_file = "/secret/${SECRET}.keys"
tls_cert = "/secret/${SECRET}.pem"
tls_key = "/secret/${SECRET}-key.pem"
public_hosts = ["pool.example.org"]
backup_dir = "/backups"
[inference.families]
house = ["ours"]
[chain]
miner_endpoint = "http://user:${SECRET}@127.0.0.1:20443/${SECRET}?key=${SECRET}"
[callbacks]
secret = "whsec_${Buffer.from(SECRET.repeat(2)).toString('base64')}"`,
    undefined,
    `[signer]
stacks_private_key = "${SECRET.repeat(6).slice(0, 64)}"
endpoint = "https://rpc.example.org:8443/v2/${SECRET}"
network = "testnet"
`,
  )
const valuesOf = ({ settings }: ConfigurationView) => new Map(settings.map((setting) => [setting.key, setting]))

test('the settings are told as they are in force, and nothing that is a secret or leads to one', () => {
  const told = shownSettings(loadServiceConfig(full(), { apiPort: '8081' }))
  const settings = valuesOf(told)
  expect([...settings.keys()]).toEqual(describeServiceConfig().map(({ key }) => key))
  const text = JSON.stringify(told)
  for (const secret of [SECRET, Buffer.from(SECRET.repeat(2)).toString('base64'), '/secret', 'user'])
    expect(text.replaceAll('user_address', '').replaceAll('per_user', '')).not.toContain(secret)
  const hidden = told.settings.filter((setting) => setting.hidden).map(({ key }) => key)
  expect(hidden).toEqual([
    'signer.stacks_private_key',
    'callbacks.secret',
    'inference.data_key_file',
    'inference.tls_cert',
    'inference.tls_key',
  ])
  expect(Object.fromEntries([...settings].map(([key, { value }]) => [key, value]))).toMatchObject({
    'signer.endpoint': 'https://rpc.example.org:8443',
    'signer.network': 'testnet',
    'chain.miner_endpoint': 'http://127.0.0.1:20443',
    'inference.api_port': 8081,
    'inference.backup_dir': '/backups',
    'inference.public_hosts': ['pool.example.org'],
    'inference.families': { house: ['ours'] },
    // Nobody has set it: what it is follows from where the service is reached.
    'inference.auth.enrolment': 'invite',
    'inference.max_nodes': 100_000,
    'inference.tls_key': null,
  })
  expect(settings.get('inference.api_port')).toMatchObject({ default: 8080, hidden: false })
})

test('sections that are not there are not told', async () => {
  const { body } = await (await startService({ max_nodes: 7 })).get('/api/v1/configuration')
  const settings = valuesOf(body?.data as ConfigurationView)
  expect([...settings.keys()].filter((key) => /^(?:signer|chain|callbacks)\./.test(key))).toEqual([])
  expect(settings.get('inference.max_nodes')).toEqual({ key: 'inference.max_nodes', value: 7, default: 100_000, hidden: false }) // prettier-ignore
  expect(body?.data).toMatchObject({ runtime: process.version })
})

test('an operator may look at them, and a viewer may not', async () => {
  const tokens: Record<string, string> = {}
  const service = await startGuarded({}, (token) => {
    for (const role of ['operator', 'viewer']) tokens[role] = token(role)
  })
  const status = async (role: string): Promise<number> =>
    (await as(service, tokens[role] ?? null).get('/api/v1/configuration')).status
  expect([await status('operator'), await status('viewer')]).toEqual([200, 403])
})
