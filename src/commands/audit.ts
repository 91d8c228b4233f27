import { defineCommand } from 'citty'
import { ConfigError } from '../lib/config-error.js'
import { table } from '../lib/table.js'
import { auditQuery } from '../wire/access.js'
import type { AuditHead } from '../wire/audit-chain.js'
import { given } from './access/flags.js'
import { accessArgs, withAccess } from './access/target.js'
import { printJson, printLines } from './print.js'
import { parseFlags, refuseMore } from './service-call.js'

const list = defineCommand({
  meta: { name: 'list', description: 'List who changed what, the newest first' },
  args: {
    actor: { type: 'string', description: 'Only by this actor', valueHint: 'token:ID' },
    action: { type: 'string', description: 'Only this action', valueHint: 'token.created' },
    subject: { type: 'string', description: 'Only about this id', valueHint: 'ID' },
    limit: { type: 'string', description: 'At most so many, 1 to 1000', default: '50', valueHint: '50' },
    cursor: { type: 'string', description: 'Go on where a list before ended', valueHint: 'N' },
    ...accessArgs,
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const { actor, action, subject, limit, cursor } = args
    const asked = { actor, action, subject, limit, cursor }
    parseFlags(auditQuery, given(asked))
    const page = await withAccess(args, 'look', (access) => access.audit(asked))
    if (args.json === true) return printJson(page)
    const rows = page.entries.map((e) => [
      e.seq,
      new Date(e.at_ms).toISOString().replace(/\.\d+Z$/, 'Z'),
      e.actor,
      e.address,
      e.action,
      e.subject,
      e.outcome,
      JSON.stringify(e.detail),
    ])
    printLines(table(['#', 'time', 'actor', 'address', 'action', 'subject', 'outcome', 'detail'], rows))
    if (page.next_cursor !== null) printLines(['', `There are older rows: the same with --cursor ${page.next_cursor}`])
  },
})

const verify = defineCommand({
  meta: {
    name: 'verify',
    description: 'Look whether a row of the audit was edited, removed or moved; the exit code is 1 when one was',
  },
  args: {
    noted: {
      type: 'string',
      description: 'The last row as an earlier run printed it: then a chain that was made anew is seen too',
      valueHint: 'N:HASH',
    },
    ...accessArgs,
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const noted = notedRow(args.noted)
    const { head, fault } = await withAccess(args, 'look', (access) => access.verifyAudit(noted))
    if (fault !== null) process.exitCode = 1
    if (args.json === true) return printJson({ ok: fault === null, head, fault })
    if (fault !== null) return console.log(`WRONG  ${fault.what}; what comes before it is as it was written`)
    console.log(`ok  ${head.seq} ${head.seq === 1 ? 'row is' : 'rows are'} as written`)
    if (head.seq > 0) console.log(`Note the last one elsewhere, for --noted: ${head.seq}:${head.hash}`)
  },
})

/** @throws ConfigError when it is not as `verify` prints it */
function notedRow(text: string | undefined): AuditHead | null {
  if (text === undefined) return null
  const [, seq, hash] = /^([1-9]\d{0,14}):([0-9a-f]{64})$/.exec(text) ?? []
  if (seq === undefined || hash === undefined)
    throw new ConfigError('--noted: must be the number of a row and its hash, as "audit verify" prints them')
  return { seq: Number(seq), hash }
}

export default defineCommand({
  meta: { name: 'audit', description: 'Look at who changed what, and whether that was changed' },
  subCommands: { list, verify },
})
