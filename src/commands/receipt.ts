import { defineCommand } from 'citty'
import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { checkReceipt } from '../chain/receipt-checks.js'
import { ConfigError } from '../lib/config-error.js'
import { oneLine } from '../lib/table.js'
import { normalizeKey } from '../wire/keys.js'
import { signedReceipt, type SignedReceipt } from '../wire/receipt.js'
import { printJson, printLines } from './print.js'
import { refuseMore, serviceArgs, serviceAt } from './service-call.js'
import { pathOf, taskId } from './tasks/task-call.js'

const get = defineCommand({
  meta: { name: 'get', description: 'Print the signed receipt of a result, as JSON to keep' },
  args: { ...taskId, ...serviceArgs },
  async run({ args }) {
    refuseMore(args._, 1)
    printJson(await serviceAt(args).get(`${pathOf(args.id)}/receipt`, signedReceipt))
  },
})

const marks = { good: 'ok     ', wrong: 'WRONG  ', unknown: '-      ' } as const

const verify = defineCommand({
  meta: { name: 'verify', description: 'Check a receipt offline; the exit code is 1 when anything of it is wrong' },
  args: {
    file: {
      type: 'positional',
      description: 'The receipt, or - for standard input',
      required: true,
      valueHint: 'FILE',
    },
    input: { type: 'string', description: 'A file with the user_input as it was submitted', valueHint: 'FILE' },
    context: { type: 'string', description: 'A file with the context as it was submitted', valueHint: 'FILE' },
    output: { type: 'string', description: 'A file with the output', valueHint: 'FILE' },
    key: { type: 'string', description: 'The public key of the service, hex', valueHint: 'KEY' },
    json: { type: 'boolean', description: 'Print what was found as JSON' },
  },
  async run({ args }) {
    refuseMore(args._, 1)
    const key = args.key === undefined ? undefined : normalizeKey(args.key)
    if (key === null) throw new ConfigError('--key: must be a secp256k1 public key, 33 or 65 bytes in hex')
    const [input, context, output] = [args.input, args.context, args.output].map((file) =>
      file === undefined ? undefined : readBytes(file),
    )
    const checks = await checkReceipt(readReceipt(args.file), { key, input, context, output })
    const isWrong = checks.some(({ is }) => is === 'wrong')
    if (args.json === true) printJson({ valid: !isWrong, checks })
    else printLines(checks.map(({ is, says }) => `${marks[is]}${oneLine(says)}`))
    if (isWrong) process.exitCode = 1
  },
})

function readReceipt(file: string): SignedReceipt {
  const text = readBytes(file === '-' ? 0 : file).toString('utf8')
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), signedReceipt), text)
  if (parsed.success) return parsed.output
  const [issue] = parsed.issues
  const where = v.getDotPath(issue)
  throw new Error(
    `${file}: is no receipt of a result (${where === null ? '' : `${where}: `}${issue.message}); get one with "receipt get"`,
  )
}

function readBytes(file: string | 0): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new ConfigError(`${file}: cannot be read (${error instanceof Error ? error.message : String(error)})`)
  }
}

export default defineCommand({
  meta: { name: 'receipt', description: 'Get the signed receipt of a result, and check one offline' },
  subCommands: { get, verify },
})
