import { defineCommand } from 'citty'
import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { signDelegation } from '../chain/delegations.js'
import { readPrivateKey } from '../chain/private-key.js'
import { ConfigError } from '../lib/config-error.js'
import { openMode } from '../lib/permissions.js'
import { oneLine } from '../lib/table.js'
import { delegationBody, delegationsQuery, type Delegation } from '../wire/delegation.js'
import { explain } from '../wire/fields.js'
import { keyFlag } from './access/flags.js'
import { pageArgs, printPage } from './paged-list.js'
import { printJson, timeOf } from './print.js'
import { refuseMore, serviceArgs, serviceAt } from './service-call.js'
import { maybeText } from './tasks/task-call.js'

const networks = ['mainnet', 'testnet', 'devnet'] as const

// What a service answers may hold more than this version knows: it is kept for --json.
const entry = v.looseObject({ node_key: v.string(), address: v.string(), created_at: v.number() })
const pageSchema = v.looseObject({ delegations: v.array(entry), next_cursor: maybeText })

const sign = defineCommand({
  meta: {
    name: 'sign',
    description: 'Let what a node does be paid at the address of a key: prints what is to be sent',
  },
  args: {
    'key-file': {
      type: 'string',
      description: 'A file with the private key of the address, hex: 32 bytes, or 33 with a trailing 01',
      required: true,
      valueHint: 'FILE',
    },
    'node-key': { type: 'string', description: 'The public key of the node, hex', required: true, valueHint: 'KEY' },
    network: { type: 'string', description: 'mainnet, testnet or devnet', default: 'mainnet', valueHint: 'mainnet' },
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const network = networks.find((n) => n === args.network)
    if (network === undefined) throw new ConfigError(`--network: must be one of ${networks.join(', ')}`)
    const nodeKey = keyFlag(args['node-key'])
    printJson(await signDelegation(readKeyFile(args['key-file']), nodeKey, network))
  },
})

const add = defineCommand({
  meta: { name: 'add', description: 'Send a delegation that was signed' },
  args: {
    file: {
      type: 'positional',
      description: 'The delegation, or - for standard input',
      required: true,
      valueHint: 'FILE',
    },
    ...serviceArgs,
  },
  async run({ args }) {
    refuseMore(args._, 1)
    const row = await serviceAt(args).post('/api/v1/delegations', readDelegation(args.file), entry)
    if (args.json === true) printJson(row)
    else
      console.log(
        oneLine(`${row.node_key}: may be paid at ${row.address}; give that address to the node as its node_address`),
      )
  },
})

const list = defineCommand({
  meta: { name: 'list', description: 'List which keys of nodes may be paid where' },
  args: {
    ...pageArgs('KEY'),
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const { limit, cursor } = args
    await printPage(args, {
      path: '/api/v1/delegations',
      query: delegationsQuery,
      asked: { limit, cursor },
      page: pageSchema,
      columns: [{ title: 'node key' }, { title: 'paid at' }, { title: 'since', importance: 1 }],
      rows: (page) => page.delegations.map((d) => [d.node_key, d.address, timeOf(d.created_at)]),
      rest: 'more',
    })
  },
})

const revoke = defineCommand({
  meta: { name: 'revoke', description: 'Take a delegation back: the node is paid at the address of its key again' },
  args: {
    key: { type: 'positional', description: 'The public key of the node, hex', required: true, valueHint: 'NODE_KEY' },
    ...serviceArgs,
  },
  async run({ args }) {
    refuseMore(args._, 1)
    const key = keyFlag(args.key)
    const said = await serviceAt(args).order('DELETE', `/api/v1/delegations/${key}`, v.string())
    if (args.json === true) printJson(said)
    else console.log(`${key}: revoked; the node is paid at the address of its key from its next result on`)
  },
})

function readKeyFile(file: string): string {
  const mode = openMode(file)
  if (mode !== null)
    throw new ConfigError(`${file}: others on this machine can read the key (mode ${mode}); run: chmod 600 ${file}`)
  const key = readPrivateKey(read(file).trim())
  if (key === null)
    throw new ConfigError(`${file}: must hold a private key of secp256k1 in hex: 32 bytes, or 33 with a trailing 01`)
  return key
}

function readDelegation(file: string): Delegation {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), delegationBody), read(file === '-' ? 0 : file))
  if (parsed.success) return parsed.output
  throw new ConfigError(`${file}: is no delegation (${explain(parsed.issues)}); make one with "delegations sign"`)
}

function read(file: string | 0): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(`${file}: cannot be read (${error instanceof Error ? error.message : String(error)})`)
  }
}

export default defineCommand({
  meta: { name: 'delegations', description: 'Let nodes be paid at other addresses than those of their keys' },
  subCommands: { sign, add, list, revoke },
})
