import { defineCommand } from 'citty'
import { text } from 'node:stream/consumers'
import * as v from 'valibot'
import { InferenceClient, InferenceError } from '../client/index.js'
import { RestError } from '../lib/rest-client.js'
import { oneLine } from '../lib/table.js'
import { submitBody } from '../wire/rest.js'
import { defaultsView } from '../wire/service-answers.js'
import { newTaskId } from '../client/task-ids.js'
import { printEvents, printText, type Question } from './ask/answer.js'
import { paramsOf, promptFields } from './ask/prompt.js'
import { showWaiting } from './ask/waiting.js'
import { printJson } from './print.js'
import { parseFlags, refuseMore, serviceArgs, serviceAt, serviceUrls } from './service-call.js'
import { readToken } from './token.js'

/** Exit codes, beside 0 and the 1 of everything else that fails. */
const TIMEOUT_CODE = 3
const INTERRUPTED_CODE = 130
/** For so long a cancelled task is waited for before it is said what became of it, ms. */
const CANCEL_MS = 5000

/** What fields of the request are called here. */
const FLAGS = { user_address: 'user', model_name: 'model', user_input: 'PROMPT', context: 'system' }

export default defineCommand({
  meta: { name: 'ask', description: 'Ask a question, and print the answer as it is made' },
  args: {
    prompt: {
      type: 'positional',
      description: 'The question; - reads it from standard input',
      required: true,
      valueHint: 'TEXT',
    },
    model: {
      type: 'string',
      description: 'The model, or a family for any model of it',
      required: true,
      valueHint: 'llama-3-8b',
    },
    system: { type: 'string', description: 'What the model should be told before', valueHint: 'TEXT' },
    param: {
      type: 'string',
      description: 'A parameter of the generation, JSON or else text; may be there more than once',
      valueHint: 'temperature=0.2',
    },
    user: {
      type: 'string',
      description: 'The user_address. Default: as /v1 of the service has it',
      valueHint: 'ST...',
    },
    'infer-fee': {
      type: 'string',
      description: 'The fee of the inference, micro-STX. Default: that of /v1',
      valueHint: '2500',
    },
    'max-infer-time': {
      type: 'string',
      description: 'How long the inference may take, seconds. Default: that of /v1',
      valueHint: '300',
    },
    wait: {
      type: 'boolean',
      default: true,
      description: 'Wait for the answer',
      negativeDescription: 'Print the task_id, and do not wait for the answer',
    },
    ...serviceArgs,
    json: { type: 'boolean', description: 'Print each event of the task as a line of JSON' },
  },
  async run({ args, rawArgs }) {
    refuseMore(args._, 1)
    const seconds = args['max-infer-time']
    const params = paramsOf(rawArgs)
    const given = {
      user_address: args.user,
      infer_fee: args['infer-fee'],
      max_infer_time: seconds !== undefined && /^\d+$/.test(seconds) ? Number(seconds) : seconds,
      model_name: args.model,
      ...promptFields(
        args.prompt === '-' ? (await text(process.stdin)).trimEnd() : args.prompt,
        args.system ?? '',
        params,
      ),
    }
    const submission = await withDefaults(given, args)
    const client = new InferenceClient({ url: serviceUrls(args.url), ...tokenOf(args['token-file']) })
    try {
      if (args.wait) await follow(client, submission, args.json === true)
      else await submit(client, submission, args.json === true)
    } catch (error) {
      throw error instanceof InferenceError ? new RestError(error.message, error.code, { cause: error }) : error
    } finally {
      await client.close()
    }
  },
})

const tokenOf = (file: string | undefined): { token?: string } => {
  const token = readToken(file)
  return token === null ? {} : { token }
}

/** What was not given is as the service has it for its door of OpenAI's API. @throws ConfigError for a flag that is wrong */
async function withDefaults(given: Record<string, unknown>, flags: Parameters<typeof serviceAt>[0]): Promise<Question> {
  // Says in its sentences that there is no service, too.
  const defaults = await serviceAt(flags).get('/api/v1/defaults', v.looseObject(defaultsView.entries))
  const { user_address, infer_fee, max_infer_time } = defaults
  const said = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  const question = { user_address, infer_fee, max_infer_time, ...said, task_id: newTaskId() }
  parseFlags(submitBody, question, FLAGS)
  return question as Question
}

async function submit(client: InferenceClient, question: Question, json: boolean): Promise<void> {
  const { task_id, warnings = [] } = await client.submit(question)
  if (json) return printJson({ task_id, warnings })
  console.log(task_id)
  for (const { message } of warnings) process.stderr.write(`stacks-signer: warning: ${oneLine(message)}\n`)
}

/** Asks, shows what comes, and says by the exit code how it ended. Ctrl-C, and a reader that goes away, cancel it. */
async function follow(client: InferenceClient, question: Question, json: boolean): Promise<void> {
  const { task_id } = question
  const control = new AbortController()
  let isInterrupted = false
  const onInterrupt = (): void => {
    isInterrupted = true
    control.abort()
  }
  const onLostReader = (): void => control.abort()
  process.once('SIGINT', onInterrupt)
  process.stdout.once('error', onLostReader)
  const waiting = showWaiting(() => client.get(task_id))
  const say = (line: string): void => {
    waiting.stop()
    process.stderr.write(`stacks-signer: ${oneLine(line)}\n`)
  }
  try {
    const print = json ? printEvents : printText
    await print({ client, question, signal: control.signal, onBegun: waiting.stop })
  } catch (error) {
    if (control.signal.aborted) {
      if (isInterrupted && process.stderr.isTTY) process.stderr.write('\n') // behind the ^C
      process.exitCode = isInterrupted ? INTERRUPTED_CODE : 1
      return say(await whatBecame(client, task_id))
    }
    if (!(error instanceof InferenceError)) throw error
    process.exitCode = error.code === 'timeout' ? TIMEOUT_CODE : 1
    say(error.message)
  } finally {
    waiting.stop()
    process.off('SIGINT', onInterrupt)
    process.stdout.off('error', onLostReader)
  }
}

/** What became of a task that was given up: its cancel is on the way. */
async function whatBecame(client: InferenceClient, taskId: string): Promise<string> {
  for (const until = Date.now() + CANCEL_MS; Date.now() < until; await new Promise((r) => setTimeout(r, 50))) {
    try {
      const { status, error } = await client.get(taskId)
      if (error === 'cancelled') return `${taskId} is cancelled`
      if (status !== 'pending' && status !== 'in_progress')
        return `${taskId} was ${status} before it could be cancelled; tasks show ${taskId} has it`
    } catch (error) {
      if (error instanceof InferenceError && error.code === 'task_not_found') return 'it was not submitted'
      break
    }
  }
  return `${taskId} may not be cancelled: the service has not said so; tasks cancel ${taskId} tries again`
}
