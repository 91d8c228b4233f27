import { JetStreamApiError, type JetStreamManager } from '@nats-io/jetstream'
import { describe, expect, test } from 'vitest'
import type { LogConnection } from '../../src/cluster/connection.js'
import { JournalUnreachable } from '../../src/cluster/port.js'
import { createStream } from '../../src/cluster/stream.js'

const NO_SUITABLE_PEERS = 10005

/** Makes the stream on a log that first refuses with each of these. @returns what came of it, and how often the log was asked */
async function create(refusals: readonly string[]) {
  const left = [...refusals]
  let asked = 0
  const add = (): Promise<void> => {
    asked++
    const description = left.shift()
    return description === undefined
      ? Promise.resolve()
      : Promise.reject(new JetStreamApiError({ code: 400, err_code: NO_SUITABLE_PEERS, description }))
  }
  const ask: LogConnection['ask'] = (question) =>
    question().catch((cause: unknown) => {
      throw new JournalUnreachable('refused', { cause })
    })
  const streams = { add } as unknown as JetStreamManager['streams']
  const came = await createStream({ ask }, { streams }, 'c', 'id', 1000).catch((error: Error) => error.message)
  return { came, asked }
}

// A server may have been found by the leader's election, and not yet by its placement: seen once in nine starts under load.
describe('the stream of a journal on log servers that were just started', () => {
  test('is made when the leader has found the others', async () => {
    const offline = 'no suitable peers for placement, peer offline'
    expect(await create([offline, offline])).toEqual({ came: { created: true }, asked: 3 })
  })

  test('is refused at once for want of anything else', async () => {
    const { came, asked } = await create(['no suitable peers for placement, insufficient storage'])
    expect([came, asked]).toEqual([expect.stringContaining('raise max_file_store'), 1])
  })
})
