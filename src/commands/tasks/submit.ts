import { defineCommand } from 'citty'
import { text } from 'node:stream/consumers'
import * as v from 'valibot'
import { encrypt } from '../../chain/encryption.js'
import type { RestClient } from '../../lib/rest-client.js'
import { oneLine } from '../../lib/table.js'
import { submitBody } from '../../wire/rest.js'
import { printJson } from '../print.js'
import { parseFlags, refuseMore, serviceArgs, serviceAt } from '../service-call.js'

const createdSchema = v.looseObject({
  task_id: v.string(),
  warnings: v.optional(v.array(v.looseObject({ message: v.string() }))),
})

const keySchema = v.looseObject({
  public_key: v.pipe(v.string(), v.regex(/^0[23][0-9a-f]{64}$/i, 'must be a compressed key')),
})

/** What fields of the request are called here. */
const FLAGS = { user_address: 'user', user_input: 'prompt', model_name: 'model' }

export default defineCommand({
  meta: { name: 'submit', description: 'Submit a task, and print its task_id' },
  args: {
    model: {
      type: 'string',
      description: 'The model, or a family for any model of it',
      required: true,
      valueHint: 'llama-3-8b',
    },
    user: { type: 'string', description: 'The user_address', required: true, valueHint: 'ST...' },
    prompt: {
      type: 'string',
      description: 'The prompt; - reads it from standard input',
      required: true,
      valueHint: 'TEXT',
    },
    context: { type: 'string', description: 'What the model should know beside the prompt', valueHint: 'TEXT' },
    'infer-fee': {
      type: 'string',
      description: 'The fee of the inference, micro-STX',
      default: '0',
      valueHint: '2500',
    },
    'max-infer-time': {
      type: 'string',
      description: 'How long the inference may take, seconds',
      default: '300',
      valueHint: '300',
    },
    'task-id': {
      type: 'string',
      description: 'The task_id; the same one again creates nothing new. Default: the service makes one up',
      valueHint: 'ID',
    },
    'callback-url': {
      type: 'string',
      description: 'Where the service tells that the task has ended',
      valueHint: 'URL',
    },
    encrypt: { type: 'boolean', description: 'Encrypt prompt and context for the service' },
    ...serviceArgs,
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const client = serviceAt(args)
    const seconds = args['max-infer-time']
    const body = {
      task_id: args['task-id'],
      user_address: args.user,
      user_input: args.prompt === '-' ? await text(process.stdin) : args.prompt,
      context: args.context ?? '',
      infer_fee: args['infer-fee'],
      max_infer_time: /^\d+$/.test(seconds) ? Number(seconds) : seconds,
      model_name: args.model,
      callback_url: args['callback-url'],
    }
    parseFlags(submitBody, body, FLAGS)
    const created = await client.post(
      '/api/v1/tasks/submit',
      args.encrypt === true ? await encrypted(body, client) : body,
      createdSchema,
    )
    if (args.json === true) return printJson(created)
    console.log(created.task_id)
    // Not where a script reads the task_id.
    for (const { message } of created.warnings ?? [])
      process.stderr.write(`stacks-signer: warning: ${oneLine(message)}\n`)
  },
})

/** The same submission for who has the key of the service alone. */
async function encrypted<Body extends { user_input: string; context: string }>(body: Body, client: RestClient) {
  const { public_key } = await client.get('/api/v1/encryption/public-key', keySchema)
  return {
    ...body,
    user_input: encrypt(body.user_input, public_key),
    context: encrypt(body.context, public_key),
    is_encrypted: true,
    signer_public_key: public_key,
  }
}
