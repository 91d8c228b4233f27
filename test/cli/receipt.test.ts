import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createReceiptSigner, type ReceiptContent } from '../../src/chain/receipts.js'
import { systemTime } from '../../src/lib/clock.js'
import { resultText } from '../../src/wire/keys.js'
import type { SignedReceipt } from '../../src/wire/receipt.js'
import { inProcess, refusedInProcess } from '../support/command.js'
import { identity } from '../support/identity.js'
import { beginTask, connectNode, nextSettled } from '../support/node-session.js'
import { SIGNER_KEY, sha256, signer } from '../support/receipts.js'
import { signLow } from '../support/signatures.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

const output = 'A time-limited right.'
const content = (more: Partial<ReceiptContent> = {}): ReceiptContent => ({
  task_id: 'task-1',
  model_name: 'llama-3-8b',
  encrypted: false,
  user_input: 'What is a lease?',
  context: '',
  output,
  node_id: 'n',
  node_key: identity('n').publicKey,
  node_key_proven: true,
  node_signature: signLow(identity('n'), resultText('task-1', 1, sha256(output))),
  attempt: 1,
  created_at: 1767225600,
  assigned_at: 1767225601,
  accepted_at: 1767225601,
  completed_at: 1767225609,
  fee: 300,
  infer_fee: 2500,
  txid: null,
  payee: null,
  ...more,
})
const make = createReceiptSigner(SIGNER_KEY, 'testnet')
const SERVICE = '032c0b7cf95324a07d05398b240174dc0c2be444d96b159aa6c7f7b1e668680991'

/** Files with these contents, in a folder of their own. */
function files(given: Record<string, string>) {
  const folder = mkdtempSync(join(tempDir(), 'receipt-'))
  return Object.fromEntries(
    Object.entries(given).map(([name, text]) => {
      const file = join(folder, name)
      writeFileSync(file, text)
      return [name, file]
    }),
  ) as Record<string, string>
}
const verified = async (signed: SignedReceipt | object, flags: string[] = []) => {
  const { receipt = '' } = files({ receipt: JSON.stringify(signed) })
  return inProcess(['receipt', 'verify', receipt, ...flags])
}
const words = (lines: readonly string[]): string[] => lines.map((line) => line.split(':')[0]?.replace(/ +/, ' ') ?? '')

test('receipt get prints a receipt, and receipt verify finds it good', async () => {
  const service = await startService({}, systemTime, { signer })
  const node = await connectNode(service, 'n')
  node.complete(await beginTask(service, node, 'A'), output)
  await nextSettled(node, 'A')
  const got = await inProcess(['receipt', 'get', 'A', '--url', service.url])
  const {
    receipt = '',
    input = '',
    out = '',
  } = files({
    receipt: got.out.join('\n'),
    input: 'What is the capital of France?',
    out: output,
  })
  const given = ['--input', input, '--output', out, '--key', SERVICE]
  const { out: lines, code } = await inProcess(['receipt', 'verify', receipt, ...given])
  expect(code).toBe(0)
  expect(lines).toEqual([
    `ok     signature: holds, by the key ${SERVICE}`,
    'ok     service_key: is the one that was given',
    'ok     service_address: ST361P1W3HRW7VTPD1S935RF8PJFMRAF4GJMPMQZN is the address of that key',
    'ok     input_hash: is that of the input that was given',
    '-      context_hash: not compared; give the context with --context FILE',
    'ok     output_hash: is that of the output that was given',
    '-      node_signature: none; node n has not signed its result',
  ])
})

test('what was not given is not compared, and nothing is wrong with it', async () => {
  const { out, code } = await verified(await make(content()))
  expect([code, words(out)]).toEqual([
    0,
    [
      'ok signature',
      '- service_key',
      'ok service_address',
      '- input_hash',
      '- context_hash',
      '- output_hash',
      'ok node_signature',
    ],
  ])
})

test('a service with an uncompressed key has the address of that', async () => {
  const uncompressed = createReceiptSigner(SIGNER_KEY.slice(0, 64), 'mainnet')
  const signed = await uncompressed(content())
  expect(signed.receipt.service_address).not.toBe((await make(content())).receipt.service_address)
  expect((await verified(signed)).code).toBe(0)
})

test.each([
  ['task_id', 'another'],
  ['model_name', 'llama-3-70b'],
  ['output_hash', sha256('else')],
  ['infer_fee', 2501],
  ['completed_at', null],
  ['encrypted', true],
  ['payee', 'ST1'],
  ['something_new', 1],
])('a receipt whose %s was changed is wrong', async (field, value) => {
  const signed = await make(content())
  const { out, code } = await verified({ ...signed, receipt: { ...signed.receipt, [field]: value } })
  expect(code).toBe(1)
  expect(out[0]).toMatch(/^WRONG {2}signature: does not hold/)
})

test('another key, another address, other files and another signature of the node are each named', async () => {
  const signed = await make(content({ node_signature: signLow(identity('m'), 'else') }))
  const { no = '' } = files({ no: 'else' })
  const other = identity('m').publicKey
  const { out, code } = await verified(signed, ['--key', other, '--input', no, '--context', no, '--output', no])
  expect([code, words(out)]).toEqual([
    1,
    [
      'ok signature',
      'WRONG service_key',
      'ok service_address',
      'WRONG input_hash',
      'WRONG context_hash',
      'WRONG output_hash',
      'WRONG node_signature',
    ],
  ])
  const { receipt } = await make(content())
  const lies = await verified({
    receipt: { ...receipt, service_address: 'ST000000000000000000002AMW42H' },
    signature: signed.signature,
  })
  expect(lies.out[2]).toMatch(/^WRONG {2}service_address/)
  expect(
    (await inProcess(['receipt', 'verify', files({ r: JSON.stringify(signed) })['r'] ?? '', '--json'])).json(),
  ).toMatchObject({
    valid: false,
  })
})

test('what is no receipt, no file or no key is refused', async () => {
  const {
    text = '',
    json = '',
    good = '',
  } = files({
    text: 'hello',
    json: '{"receipt":{},"signature":"00"}',
    good: JSON.stringify(await make(content())),
  })
  await refusedInProcess(['receipt', 'verify', text], 1, ['is no receipt of a result'])
  await refusedInProcess(['receipt', 'verify', json], 1, ['is no receipt of a result', 'receipt.'])
  await refusedInProcess(['receipt', 'verify', `${good}.none`], 2, ['cannot be read'])
  await refusedInProcess(['receipt', 'verify', good, '--output', `${good}.none`], 2, ['cannot be read'])
  await refusedInProcess(['receipt', 'verify', good, '--key', '02aa'], 2, ['--key'])
  expect(readFileSync(good, 'utf8')).toContain('inference-receipt.v1')
})
