// What belongs to `nodes`: who is let in.
import { defineCommand } from 'citty'
import * as v from 'valibot'
import { ConfigError } from '../lib/config-error.js'
import { oneLine } from '../lib/table.js'
import { allowBody, banBody, inviteBody, type NodeKeyView } from '../wire/access.js'
import { id } from '../wire/fields.js'
import { bodyOf, durationFlag, given, keyFlag, numberFlag } from './access/flags.js'
import { accessArgs, withAccess } from './access/target.js'
import { printJson, timeOf } from './print.js'
import { parseFlags, refuseMore } from './service-call.js'

const slots = { type: 'string', description: 'The most tasks at once of such a node', valueHint: '8' } as const
const flagOfField = { slots_max: '--slots', expires_in: '--expires' }

export const invite = defineCommand({
  meta: { name: 'invite', description: 'Let nodes in that nobody knows yet: print the command that they start with' },
  args: {
    uses: { type: 'string', description: 'How many nodes may use it', default: '1', valueHint: '1' },
    expires: { type: 'string', description: 'How long it may be used', default: '24h', valueHint: '24h' },
    slots,
    name: { type: 'string', description: 'Whom it is for', default: 'invite', valueHint: 'their-name' },
    ...accessArgs,
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const expires_in = durationFlag('--expires', args.expires)
    if (expires_in === null) throw new ConfigError('--expires: an invite must end, such as after 24h')
    const body = bodyOf(
      inviteBody,
      given({ name: args.name, uses: numberFlag(args.uses), slots_max: numberFlag(args.slots), expires_in }),
      flagOfField,
    )
    const { made, coordinator } = await withAccess(args, 'change', async (access) => ({
      made: await access.createInvite(body),
      coordinator: access.coordinator,
    }))
    if (args.json === true) return printJson({ ...made, coordinator })
    console.log(`npx stacks-signer run-inference-node --coordinator ${coordinator} --invite ${made.token}`)
    console.error(
      `${made.id}: for ${body.uses === 1 ? 'one node' : `${body.uses} nodes`}, until ${timeOf(made.expires_at)}. Give the command to whoever runs the node, with their own flags (of the npm package it is "stacks-inference-node" in the place of "npx stacks-signer run-inference-node"), and with the address under which they reach this service if it is another one.`,
    )
  },
})

/** Prints what has become of a key. */
function printKey(json: boolean | undefined, row: NodeKeyView, what: string): void {
  if (json === true) printJson(row)
  else console.log(oneLine(what))
}

export const allow = defineCommand({
  meta: { name: 'allow', description: 'Let the node with this key in, also one that was banned' },
  args: {
    key: { type: 'positional', description: "The node's public key, hex", required: true, valueHint: 'KEY' },
    slots,
    ...accessArgs,
  },
  async run({ args }) {
    refuseMore(args._, 1)
    const body = bodyOf(
      allowBody,
      given({ public_key: keyFlag(args.key), slots_max: numberFlag(args.slots) }),
      flagOfField,
    )
    const row = await withAccess(args, 'change', (access) => access.allowKey(body.public_key, body.slots_max))
    printKey(args.json, row, `${row.public_key}: enrolled`)
  },
})

export const ban = defineCommand({
  meta: { name: 'ban', description: 'Keep a node out for good: its session closes, its tasks go to others' },
  args: {
    id: { type: 'positional', description: 'The node_id, or the public key', required: true, valueHint: 'ID|KEY' },
    reason: { type: 'string', description: 'Why, for the audit', valueHint: 'TEXT' },
    ...accessArgs,
  },
  async run({ args }) {
    refuseMore(args._, 1)
    const subject = parseFlags(v.object({ ID: id }), { ID: args.id }).ID
    const { reason } = bodyOf(banBody, given({ reason: args.reason }), {})
    const row = await withAccess(args, 'change', (access) => access.banKey(subject, reason))
    printKey(args.json, row, `${subject}: banned, with its key ${row.public_key}`)
  },
})

export const rekey = defineCommand({
  meta: { name: 'rekey', description: 'Give a node another key; the old one is banned' },
  args: {
    id: { type: 'positional', description: 'The node_id', required: true, valueHint: 'ID' },
    key: { type: 'positional', description: 'Its new public key, hex', required: true, valueHint: 'NEW_KEY' },
    ...accessArgs,
  },
  async run({ args }) {
    refuseMore(args._, 2)
    const nodeId = parseFlags(v.object({ ID: id }), { ID: args.id }).ID
    const key = keyFlag(args.key)
    const row = await withAccess(args, 'change', (access) => access.rekeyNode(nodeId, key))
    printKey(args.json, row, `${nodeId}: its key is ${row.public_key} from now on`)
  },
})
