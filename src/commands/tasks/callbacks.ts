import { defineCommand } from 'citty'
import * as v from 'valibot'
import { secretFor } from '../../callbacks/signing.js'
import { loadServiceConfig } from '../../config.js'
import { ConfigError } from '../../lib/config-error.js'
import { oneLine } from '../../lib/table.js'
import { callbacksQuery } from '../../wire/callbacks.js'
import { tokenIdFlag } from '../access/flags.js'
import { pageArgs, printPage } from '../paged-list.js'
import { printJson, timeOf } from '../print.js'
import { parseFlags, refuseMore, serviceArgs, serviceAt } from '../service-call.js'
import { maybeNumber, maybeText, pathOf, taskId } from './task-call.js'

// What a service answers may hold more than this version knows: it is kept for --json.
const entry = v.looseObject({
  task_id: v.string(),
  state: v.string(),
  host: v.string(),
  url: maybeText,
  webhook_id: maybeText,
  ended_at: maybeNumber,
  tries: v.number(),
  next_try_at: maybeNumber,
  last_error: maybeText,
  updated_at: v.number(),
})
const pageSchema = v.looseObject({ callbacks: v.array(entry), next_cursor: maybeText })

const columns = [
  { title: 'task' },
  { title: 'state' },
  { title: 'host', importance: 1 },
  { title: 'failed tries', importance: 4 },
  { title: 'next try', importance: 2 },
  { title: 'ended', importance: 5 },
  { title: 'error', importance: 3, shrinksTo: 20 },
]

const list = defineCommand({
  meta: { name: 'list', description: 'List callbacks, by task_id, the last first' },
  args: {
    state: { type: 'string', description: 'Only in this state', valueHint: 'dead' },
    ...pageArgs('ID'),
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const { state, limit, cursor } = args
    await printPage(args, {
      path: '/api/v1/callbacks',
      query: callbacksQuery,
      asked: { state, limit, cursor },
      page: pageSchema,
      columns,
      rows: (page) =>
        page.callbacks.map((c) => [
          c.task_id,
          c.state,
          c.host,
          c.tries,
          timeOf(c.next_try_at),
          timeOf(c.ended_at),
          c.last_error,
        ]),
      rest: 'older ones',
    })
  },
})

const retry = defineCommand({
  meta: { name: 'retry', description: 'Send a callback again now, also one that was given up' },
  args: { ...taskId, ...serviceArgs },
  async run({ args }) {
    refuseMore(args._, 1)
    const again = await serviceAt(args).order('POST', `${pathOf(args.id)}/callback/retry`, entry)
    if (args.json === true) printJson(again)
    else console.log(`${oneLine(args.id)}: its callback is sent again now`)
  },
})

const ADDRESS = 'must be the address of a wallet'
const addressFlag = v.object({ address: v.pipe(v.string(ADDRESS), v.regex(/^S[0-9A-Z]{20,45}$/, ADDRESS)) })

const secret = defineCommand({
  meta: { name: 'secret', description: 'Print the secret that the callbacks of a token or a wallet are signed with' },
  args: {
    token: { type: 'string', description: 'The id of the token that submits', valueHint: 'ID' },
    address: {
      type: 'string',
      description: 'The address of the wallet that submits, without a token',
      valueHint: 'ST...',
    },
    config: {
      type: 'string',
      description: 'The configuration file (TOML) of the service',
      required: true,
      valueHint: './config/signer.toml',
    },
    json: { type: 'boolean', description: 'Print it as JSON' },
  },
  run({ args }) {
    refuseMore(args._, 0)
    const { token, address } = args
    if (token !== undefined && address !== undefined)
      throw new ConfigError('--token, --address: whose secret is it? Give one of them, or neither for the own one')
    const { callbacks } = loadServiceConfig(args.config, {})
    if (callbacks === undefined)
      throw new ConfigError(`${args.config}: has no section [callbacks]; put one there with a secret`)
    const signedFor =
      token !== undefined
        ? `token:${tokenIdFlag(token)}`
        : address !== undefined
          ? `wallet:${parseFlags(addressFlag, { address }).address}`
          : null
    const found = secretFor(callbacks.secret, signedFor)
    if (args.json === true) printJson({ signed_for: signedFor, secret: found })
    else console.log(found)
  },
})

export default defineCommand({
  meta: { name: 'callbacks', description: 'Look at callbacks, send them again, and print what they are signed with' },
  subCommands: { list, retry, secret },
})
