import { createHash, createPublicKey, verify } from 'node:crypto'
import { expect } from 'vitest'
import type { SignedReceipt } from '../../src/wire/receipt.js'
import type { Service } from './service.js'

/** The key of a signer in tests: 33 bytes, as wallets of a compressed key write it. */
export const SIGNER_KEY = `${'44'.repeat(32)}01`
export const signer = {
  stacks_private_key: SIGNER_KEY,
  endpoint: 'http://127.0.0.1:1',
  network: 'testnet' as const,
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** Whether a signature (64 bytes compact, hex) is of a text by a compressed key: with nothing of ours. */
export const holds = (key: string, text: string, signature: string): boolean =>
  verify(
    'sha256',
    Buffer.from(text),
    {
      key: createPublicKey({
        format: 'der',
        type: 'spki',
        key: Buffer.from(`3036301006072a8648ce3d020106052b8104000a032200${key}`, 'hex'),
      }),
      dsaEncoding: 'ieee-p1363',
    },
    Buffer.from(signature, 'hex'),
  )

/** The canonical JSON of a receipt: flat, its names are ASCII. */
export const bytesOf = (receipt: object): string => JSON.stringify(receipt, Object.keys(receipt).sort())

/** The receipt of a task, whose signature holds. */
export async function receiptOf(service: Pick<Service, 'get'>, taskId: string): Promise<SignedReceipt> {
  const { status, body } = await service.get(`/api/v1/tasks/${encodeURIComponent(taskId)}/receipt`)
  expect([status, body?.error]).toEqual([200, null])
  const signed = body?.data as SignedReceipt
  expect(holds(signed.receipt.service_key, bytesOf(signed.receipt), signed.signature)).toBe(true)
  return signed
}
