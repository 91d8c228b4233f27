import { execFile, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { systemTime } from '../../src/lib/clock.js'
import { resultText } from '../../src/wire/keys.js'
import type { Receipt } from '../../src/wire/receipt.js'
import { identity, signText } from '../support/identity.js'
import { beginTask, connectNode, nextSettled } from '../support/node-session.js'
import { bytesOf, receiptOf, sha256, signer } from '../support/receipts.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

const page = readFileSync(fileURLToPath(new URL('../../docs/receipts.md', import.meta.url)), 'utf8')
const program = (language: string): string => new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? ''
const hasPython = spawnSync('python3', ['-c', 'import cryptography.hazmat.primitives.asymmetric.ec']).status === 0

/** A receipt of a service, signed by its node too, and what the programs of the page are given. */
async function kept() {
  const service = await startService({}, systemTime, { signer })
  const node = await connectNode(service, 'n')
  // What JSON can escape, and need not.
  const [id, output] = ['Ä "q" \\ 𝒳', 'Grüße\n']
  const { task_id, attempt } = await beginTask(service, node, id)
  const signature = signText(identity('n').key, resultText(task_id, attempt, sha256(output)))
  node.say({ type: 'task.complete', task_id, attempt, output, confidence: 1, signature })
  await nextSettled(node, id)
  const signed = await receiptOf(service, id)
  const folder = tempDir()
  const [receipt, answer, changed] = ['receipt.json', 'answer.txt', 'changed.json'].map((name) => join(folder, name))
  writeFileSync(receipt ?? '', JSON.stringify(signed, null, 2))
  writeFileSync(changed ?? '', JSON.stringify({ ...signed, receipt: { ...signed.receipt, fee: 1 } }))
  writeFileSync(answer ?? '', output)
  return { receipt: receipt ?? '', answer: answer ?? '', changed: changed ?? '', said: signed.receipt, folder }
}
const run = async (command: string, args: string[]): Promise<string[]> =>
  (await promisify(execFile)(command, args)).stdout.trim().split('\n')
const all = ({ service_key }: Receipt): string[] => [`service: ${service_key} true`, 'output: true', 'node: true']

test('the program of docs/receipts.md in JavaScript checks a receipt, and sees what was changed', async () => {
  const { receipt, answer, changed, said, folder } = await kept()
  const script = join(folder, 'check.mjs')
  writeFileSync(script, program('js'))
  expect(await run(process.execPath, [script, receipt, answer])).toEqual(all(said))
  expect(await run(process.execPath, [script, changed, receipt])).toEqual([
    `service: ${said.service_key} false`,
    'output: false',
    'node: true',
  ])
})

test.runIf(hasPython)('and so does the one in Python', async () => {
  const { receipt, answer, changed, said, folder } = await kept()
  const script = join(folder, 'check.py')
  writeFileSync(script, program('python'))
  expect(await run('python3', [script, receipt, answer])).toEqual(all(said))
  await expect(run('python3', [script, changed, answer])).rejects.toThrow('InvalidSignature')
})

test('docs/receipts.md has every field of a receipt, and no other', async () => {
  const { said } = await kept()
  const rows = [...page.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell = '']) => [...cell.matchAll(/`(\w+)`/g)])
  expect(rows.map(([, field]) => field).sort()).toEqual(Object.keys(said).sort())
  expect(JSON.parse(bytesOf(said))).toEqual(said)
})
