import { setTimeout as sleep } from 'node:timers/promises'
import type { ConsumerMessages, JetStreamClient } from '@nats-io/jetstream'
import type { LogConnection } from './connection.js'
import { JournalBehind, JournalTruncated, JournalUnreachable, type JournalMessage } from './port.js'
import { JournalGone } from './stream.js'

/** How many messages are on their way to a reader before it has read them: 16 MiB at most. */
const AHEAD = 32
/** A consumer that has sent nothing for two of these is lost, ms: its server may have died, and nobody would say so. */
const HEARTBEAT_MS = 1000
const EXPIRES_MS = 30_000
/** Before the next try, ms. */
const PAUSE_MS = 200

export interface ReaderParts {
  connection: LogConnection
  js: JetStreamClient
  stream: string
  /** The first and the last message there are. @throws JournalUnreachable */
  bounds(): Promise<{ first: number; last: number }>
  /** How long the journal may end before what was read, until it is believed, ms. */
  behindFor: number
}

/**
 * The messages from `from` on, each once and in order, for as long as `signal` is not aborted: whenever the connection, the leader or
 * the consumer is lost, it goes on behind the last that it gave.
 * @throws JournalTruncated when what comes next is not kept any more; JournalBehind when the journal has gone back behind it; JournalUnreachable when
 * the connection was closed, or the stream is gone
 */
export async function* readJournal(
  { connection, js, stream, bounds, behindFor }: ReaderParts,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<JournalMessage> {
  let next = from
  /** Since when the journal has ended before `next`. */
  let behindSince: number | null = null
  const pause = (): Promise<void> => sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined)
  const open = () =>
    connection.ask(async () => {
      const consumer = await js.consumers.get(stream, { opt_start_seq: next })
      const messages = await consumer.consume({
        max_messages: AHEAD,
        expires: EXPIRES_MS,
        idle_heartbeat: HEARTBEAT_MS,
      })
      return { consumer, messages }
    })

  while (!signal.aborted) {
    if (connection.closed()) throw new JournalUnreachable('the connection to the log was closed')
    let opened: Awaited<ReturnType<typeof open>>
    try {
      const { first, last } = await bounds()
      if (next < first) throw new JournalTruncated(`the journal begins at message ${first}, after ${next}`)
      if (next > last + 1) {
        behindSince ??= performance.now()
        if (performance.now() - behindSince > behindFor)
          throw new JournalBehind(`the journal ends at message ${last}, before ${next - 1}, which was read from it`)
        await pause()
        continue
      }
      behindSince = null
      opened = await open()
    } catch (error) {
      if (error instanceof JournalGone || !(error instanceof JournalUnreachable)) throw error
      await pause()
      continue
    }
    const { consumer, messages } = opened
    const stop = (): void => messages.stop()
    const unwatch = connection.onChange(stop)
    signal.addEventListener('abort', stop)
    if (signal.aborted || !connection.connected()) stop()
    stopWhenSilent(messages).catch(stop)
    try {
      for await (const { seq, data } of messages) {
        // After a gap, or with what was read already, it begins anew.
        if (signal.aborted || seq !== next) break
        next++
        yield { seq, message: data }
      }
    } catch {
      // The consumer has failed: another goes on. Faults of who reads do not come here.
    } finally {
      unwatch()
      signal.removeEventListener('abort', stop)
      stop()
      // Where this is not heard, the server forgets it after some minutes.
      if (connection.connected()) consumer.delete().catch(() => undefined)
    }
    await pause()
  }
}

/** Ends it when its heartbeats are missed, or when its consumer is gone. @returns when it has ended */
async function stopWhenSilent(messages: ConsumerMessages): Promise<void> {
  for await (const { type } of messages.status()) {
    if (type === 'heartbeats_missed' || type === 'consumer_deleted' || type === 'no_responders') messages.stop()
  }
}
