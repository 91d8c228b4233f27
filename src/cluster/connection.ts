import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { JetStreamApiError } from '@nats-io/jetstream'
import { connect, credsAuthenticator, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node'
import type * as v from 'valibot'
import type { clusterSettings } from '../config-sections.js'
import { ConfigError } from '../lib/config-error.js'
import { shownAddress } from '../lib/connection-error.js'
import type { Logger } from '../lib/log.js'
import { JournalUnreachable } from './port.js'

/** How long a server may take to accept a connection, ms. */
const CONNECT_TIMEOUT_MS = 2000
/** Between two tries to reach a server again, ms. */
const RECONNECT_MS = 250
/** A server that answers two of these pings in a row with nothing is lost: another is tried. */
const PING_MS = 2000
const MAX_PINGS_OUT = 2
/** How long what was published last may take to leave when the connection is closed, ms. */
const FLUSH_MS = 1000

/** What of `[inference.cluster]` is about the log. */
export type LogSettings = Pick<
  v.InferOutput<typeof clusterSettings>,
  'name' | 'coordinator' | 'nats' | 'monitor' | 'credentials' | 'tls_ca'
>

/** A connection to the log that comes back by itself, for as long as it takes. */
export interface LogConnection {
  nc: NatsConnection
  /** Whether it stands now. */
  connected(): boolean
  /** Whether it was closed, for good. */
  closed(): boolean
  /**
   * Asks the log something. What is under way when the connection is lost is not waited for.
   * @throws JournalUnreachable when there was no good answer; its cause is what the log has said, if it has said something
   */
  ask<T>(question: () => Promise<T>): Promise<T>
  /** Told whenever the connection is lost or comes back. @returns ends it */
  onChange(told: () => void): () => void
  close(): Promise<void>
}

/**
 * Connects to one of the log's servers.
 * @throws JournalUnreachable when none of them can be reached; ConfigError when the credentials or tls_ca cannot be read
 */
export async function connectServers(settings: LogSettings, log: Logger): Promise<LogConnection> {
  const shown = settings.nats.map((url) => shownAddress(url)).join(', ')
  const unreachable = (why: string, cause?: unknown): JournalUnreachable =>
    new JournalUnreachable(
      `the log (${shown}) ${why}; see whether more than half of its servers run, and reach each other`,
      { cause },
    )
  const nc = await connect(optionsOf(settings)).catch((error: unknown) => {
    throw unreachable(`cannot be reached: ${reasonOf(error)}`, error)
  })

  let connected = true
  const lost = new Set<() => void>()
  const listeners = new Set<() => void>()
  const change = (now: boolean): void => {
    if (connected === now) return
    connected = now
    if (!now) for (const end of [...lost]) end()
    for (const told of [...listeners]) told()
  }
  const watch = async (): Promise<void> => {
    for await (const status of nc.status()) {
      if (status.type === 'disconnect') {
        change(false)
        log.warn({ event: 'cluster.log_lost', server: status.server }, `the log server ${status.server} is lost`)
      } else if (status.type === 'reconnect') {
        change(true)
        log.info(
          { event: 'cluster.log_connected', server: status.server },
          `connected to the log server ${status.server}`,
        )
      } else if (status.type === 'error') {
        const why = reasonOf(status.error)
        log.warn({ event: 'cluster.log_refused', error: why }, `the log server refuses something: ${why}`)
      }
    }
  }
  watch().catch((error: unknown) => log.error({ event: 'cluster.log_failed', err: error }, 'the log is not watched'))
  void nc.closed().then(() => change(false))
  log.info({ event: 'cluster.log_connected', server: nc.getServer() }, `connected to the log server ${nc.getServer()}`)

  return {
    nc,
    connected: () => connected,
    closed: () => nc.isClosed(),
    async ask(question) {
      // The client would keep it, and send it when the connection is back: nobody would wait for it then.
      if (!connected) throw unreachable('is not connected')
      let end = (): void => undefined
      const cut = new Promise<never>((_, reject) => {
        end = () => reject(unreachable('was lost before it has answered'))
        lost.add(end)
      })
      try {
        return await Promise.race([question(), cut])
      } catch (error) {
        throw error instanceof JournalUnreachable ? error : unreachable(`gives no answer: ${reasonOf(error)}`, error)
      } finally {
        lost.delete(end)
      }
    },
    onChange(told) {
      listeners.add(told)
      return () => void listeners.delete(told)
    },
    async close() {
      if (connected) {
        const flushed = new AbortController()
        const late = sleep(FLUSH_MS, undefined, { signal: flushed.signal }).catch(() => undefined)
        await Promise.race([nc.flush().catch(() => undefined), late])
        flushed.abort()
      }
      await nc.close()
    },
  }
}

function optionsOf({ nats, coordinator, credentials, tls_ca }: LogSettings): NodeConnectionOptions {
  return {
    servers: nats,
    name: `stacks-signer ${coordinator ?? ''}`.trim(),
    timeout: CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    // Wrong credentials too may be put right while this process runs.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: RECONNECT_MS,
    reconnectJitter: RECONNECT_MS,
    reconnectJitterTLS: RECONNECT_MS,
    pingInterval: PING_MS,
    maxPingOut: MAX_PINGS_OUT,
    // Only the servers that are configured: what they say of each other may be addresses that are none from here.
    ignoreClusterUpdates: true,
    noAsyncTraces: true,
    ...(credentials === undefined ? {} : { authenticator: credsAuthenticator(credentialsIn(credentials)) }),
    // With this a server that does not speak TLS is refused.
    ...(nats.some((url) => url.startsWith('tls:'))
      ? { tls: tls_ca === undefined ? {} : { ca: readSetting('tls_ca', tls_ca).toString() } }
      : {}),
  }
}

/** Read again at every connection, for they expire; while the file cannot be read, those that it had before. */
function credentialsIn(file: string): () => Uint8Array {
  let last = readSetting('credentials', file)
  return () => {
    try {
      last = readFileSync(file)
    } catch {
      // It is being replaced.
    }
    return last
  }
}

function readSetting(key: string, file: string): Uint8Array {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new ConfigError(`inference.cluster.${key}: ${file} cannot be read: ${reasonOf(error)}`, { cause: error })
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // What the client says when no server answers for a stream.
  if (error.name === 'JetStreamNotEnabled') return 'nobody leads it now; an election takes up to 10 s'
  return error.name === 'TimeoutError' ? 'it has taken too long' : error.message
}

/** What the log has refused, by its number; null when it was nothing that the log has said. */
export const apiCode = (error: unknown): number | null => {
  const cause = error instanceof JournalUnreachable ? error.cause : error
  return cause instanceof JetStreamApiError ? cause.code : null
}
