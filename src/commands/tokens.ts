import { fstatSync } from 'node:fs'
import { defineCommand } from 'citty'
import { ConfigError } from '../lib/config-error.js'
import { openModeOf } from '../lib/permissions.js'
import { oneLine, table } from '../lib/table.js'
import { restTokenBody, rotateBody, tokenBody, type NewTokenView, type TokenView } from '../wire/access.js'
import { bodyOf, durationFlag, given, listFlag, numberFlag, refuseTwice, tokenIdFlag } from './access/flags.js'
import { accessArgs, withAccess, worksOnFile } from './access/target.js'
import { printJson, printLines, timeOf } from './print.js'
import { refuseMore } from './service-call.js'

const create = defineCommand({
  meta: { name: 'create', description: 'Make a token; its secret is printed this once' },
  args: {
    role: {
      type: 'string',
      description: 'What it may do: admin, operator, user, viewer, metrics or node',
      required: true,
      valueHint: 'user',
    },
    name: { type: 'string', description: 'What it is for', required: true, valueHint: 'wallet-app' },
    owner: { type: 'string', description: "A user's: the addresses it submits for", valueHint: 'ST1...,ST2...' },
    node: { type: 'string', description: "A node's: the node_id it speaks for", valueHint: 'node-001' },
    scope: {
      type: 'string',
      description: "An operator's: texts, to read prompts and results, which is audited",
      valueHint: 'texts',
    },
    expires: {
      type: 'string',
      description: 'How long it is good; default: admin and operator 90d, user 365d, others never',
      valueHint: '90d',
    },
    cidr: { type: 'string', description: 'The networks it may come from', valueHint: '10.0.0.0/8' },
    rate: { type: 'string', description: 'The most requests a second', valueHint: '100' },
    models: { type: 'string', description: "A user's: the models and families it may ask for", valueHint: 'llama' },
    'max-pending': { type: 'string', description: "A user's: the most tasks of an owner that wait", valueHint: '1000' },
    'tasks-per-day': { type: 'string', description: "A user's: the most tasks of an owner in a day", valueHint: 'N' },
    'fee-per-day': {
      type: 'string',
      description: "A user's: the most fees of an owner in a day, micro-STX",
      valueHint: 'N',
    },
    'bytes-per-day': {
      type: 'string',
      description: "A user's: the most bytes of texts of an owner in a day",
      valueHint: 'N',
    },
    ...accessArgs,
  },
  async run({ args, rawArgs }) {
    refuseMore(args._, 0)
    refuseTwice(rawArgs, ['--owner', '--cidr', '--models'])
    const body = bodyOf(
      worksOnFile(args) ? tokenBody : restTokenBody,
      given({
        role: args.role,
        name: args.name,
        owners: listFlag(args.owner),
        node_id: args.node,
        scopes: listFlag(args.scope),
        cidrs: listFlag(args.cidr),
        expires_in: durationFlag('--expires', args.expires),
        limits: given({
          rate: numberFlag(args.rate),
          models: listFlag(args.models),
          max_pending: numberFlag(args['max-pending']),
          tasks_per_day: numberFlag(args['tasks-per-day']),
          fee_per_day: numberFlag(args['fee-per-day']),
          bytes_per_day: numberFlag(args['bytes-per-day']),
        }),
      }),
      {
        owners: '--owner',
        node_id: '--node',
        scopes: '--scope',
        cidrs: '--cidr',
        expires_in: '--expires',
        limits: 'limits',
      },
    )
    const made = await withAccess(args, 'change', (access) => access.createToken(body))
    if (args.json === true) return printJson(made)
    printSecret(made)
  },
})

/** The secret alone goes to standard output, so that it can go into a file. */
function printSecret(made: NewTokenView): void {
  console.log(made.token)
  console.error(
    `${describe(made)}. The token is on standard output, and is shown only now: keep it as you keep a password.${openFile()}`,
  )
}

/** What to do about the file that standard output is, where others can read it; such a file is refused as --token-file. */
function openFile(): string {
  const stat = fstatSync(process.stdout.fd)
  const mode = stat.isFile() ? openModeOf(stat) : null
  return mode === null
    ? ''
    : ` Others on this machine can read the file it went into (mode ${mode}): chmod 600 that file.`
}

/** A token in some words. */
function describe({ id, role, name, owners, node_id, expires_at }: TokenView): string {
  const whose = owners !== null ? ` for ${owners.join(', ')}` : node_id !== null ? ` for ${node_id}` : ''
  const until = expires_at === null ? 'good until it is revoked' : `good until ${timeOf(expires_at)}`
  return oneLine(`${id}: ${role} ${JSON.stringify(name)}${whose}, ${until}`)
}

const list = defineCommand({
  meta: { name: 'list', description: 'List all tokens and invites, the newest first; never a secret' },
  args: accessArgs,
  async run({ args }) {
    refuseMore(args._, 0)
    const tokens = await withAccess(args, 'look', async (access) => {
      const all: TokenView[] = []
      for (let cursor: string | null = null; ;) {
        const page = await access.tokens(cursor)
        all.push(...page.tokens)
        if (page.next_cursor === null) return all
        cursor = page.next_cursor
      }
    })
    if (args.json === true) return printJson(tokens)
    const rows = tokens.map((t) => [
      t.id,
      t.state,
      t.role,
      t.name,
      t.owners?.join(',') ?? t.node_id,
      timeOf(t.expires_at),
      timeOf(t.last_used_at),
    ])
    printLines(table(['id', 'state', 'role', 'name', 'owner', 'expires', 'last used'], rows))
  },
})

const tokenArg = {
  id: { type: 'positional', description: 'The id of the token', required: true, valueHint: 'ID' },
} as const

const revoke = defineCommand({
  meta: { name: 'revoke', description: 'End a token at once: its sessions close, its requests are refused' },
  args: { ...tokenArg, ...accessArgs },
  async run({ args }) {
    refuseMore(args._, 1)
    const id = tokenIdFlag(args.id)
    await withAccess(args, 'change', (access) => access.revokeToken(id))
    if (args.json === true) printJson({ id, state: 'revoked' })
    else console.log(`${id}: revoked`)
  },
})

const rotate = defineCommand({
  meta: {
    name: 'rotate',
    description: 'Make a token that takes the place of another; its secret is printed this once',
  },
  args: {
    ...tokenArg,
    overlap: {
      type: 'string',
      description: 'How long the old one stays good; 0s ends it at once',
      default: '24h',
      valueHint: '24h',
    },
    ...accessArgs,
  },
  async run({ args }) {
    refuseMore(args._, 1)
    const id = tokenIdFlag(args.id)
    const seconds = durationFlag('--overlap', args.overlap)
    if (seconds === null) throw new ConfigError('--overlap: must end; a token that is to stay needs no other')
    const { overlap } = bodyOf(rotateBody, given({ overlap: seconds }), {})
    const made = await withAccess(args, 'change', (access) => access.rotateToken(id, overlap))
    if (args.json === true) return printJson(made)
    printSecret(made)
    console.error(
      overlap === 0 ? `${id}: is of no use any more.` : `${id}: stays good for ${args.overlap}, or until it expires.`,
    )
  },
})

export default defineCommand({
  meta: { name: 'tokens', description: 'Make, list, revoke and rotate the tokens that open a service' },
  subCommands: { create, list, revoke, rotate },
})
