import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { JetStreamApiError } from '@nats-io/jetstream'
import {
  connect,
  credsAuthenticator,
  type Authenticator,
  type NatsConnection,
  type NodeConnectionOptions,
} from '@nats-io/transport-node'
import type * as v from 'valibot'
import type { clusterSettings } from '../config-sections.js'
import { ConfigError } from '../lib/config-error.js'
import { shownAddress } from '../lib/connection-error.js'
import type { Logger } from '../lib/log.js'
import { JournalUnreachable } from './port.js'

/** In errors of the log: nobody leads it, as far as this server knows. */
const NOT_LED = 10008
/** How long a server may take to accept a connection, ms. */
const CONNECT_TIMEOUT_MS = 2000
/** Between two tries to reach a server again, ms. */
const RECONNECT_MS = 250
/** A server that answers two of these pings in a row with nothing is lost: another is tried. */
const PING_MS = 2000
const MAX_PINGS_OUT = 2
/** A server whose log has given no answer for so long is left for another, ms: it may be cut off from the others, and not know it. */
const DOUBT_MS = 1000
/** It is left at most so often, ms: while a leader is elected no server has an answer. */
const LEAVE_MS = 5000
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
  /** Since when it stands, ms, monotonic: to go to another server is no loss. */
  connectedSince(): number
  /** When it has come to another server because the log gave no answer at the one before, ms, monotonic; -Infinity: never. */
  movedAt(): number
  /**
   * Asks the log something. What is under way when the connection is lost is not waited for. Where the log behind this server has no
   * answers for some time, another server is connected to.
   * @throws JournalUnreachable when there was no good answer; its cause is what the log has said, if it has said something
   */
  ask<T>(question: () => Promise<T>): Promise<T>
  /** As `ask`, of something that others answer than the log: it tells nothing about the server. */
  askOthers<T>(question: () => Promise<T>): Promise<T>
  /** Something that the log should have done since then, ms, monotonic, was not done. */
  doubt(since: number): void
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
  const nc = await connectAny(settings).catch((error: unknown) => {
    throw error instanceof ConfigError ? error : unreachable(`cannot be reached: ${reasonOf(error)}`, error)
  })

  let connected = true
  let connectedSince = performance.now()
  let leftAt = -Infinity
  let movedAt = -Infinity
  /** When it was connected to the server of now. */
  let arrivedAt = connectedSince
  /** The server that is being left, until another is reached: the client may choose it again, once. Null: none is. */
  let leaving: string | null = null
  /** Since when the log has given no answer; null: the last was good. */
  let silentSince: number | null = null
  const lost = new Set<() => void>()
  const listeners = new Set<() => void>()
  const change = (now: boolean): void => {
    if (connected === now) return
    connected = now
    silentSince = null
    if (!now) for (const end of [...lost]) end()
    for (const told of [...listeners]) told()
  }
  const move = (): void => void nc.reconnect().catch(() => undefined) // it is closed
  const arrived = (): void => {
    arrivedAt = performance.now()
    if (leaving === null) connectedSince = arrivedAt
    else movedAt = arrivedAt
    leaving = null
    change(true)
  }
  const watch = async (): Promise<void> => {
    for await (const status of nc.status()) {
      if (status.type === 'disconnect') {
        change(false)
        log.warn({ event: 'cluster.log_lost', server: status.server }, `the log server ${status.server} is lost`)
      } else if (status.type === 'reconnect') {
        const again = status.server === leaving
        if (again) leaving = ''
        if (again) move()
        else arrived()
        if (!again)
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

  const doubt = (since: number): void => {
    if (!connected || settings.nats.length === 1) return
    const from = Math.max(since, arrivedAt)
    silentSince = Math.min(silentSince ?? from, from)
    const now = performance.now()
    if (now - silentSince < DOUBT_MS || now - leftAt < LEAVE_MS) return
    log.warn(
      { event: 'cluster.log_left', server: nc.getServer() },
      `the log gives no answer at its server ${nc.getServer()}, which may be cut off from the others; trying another`,
    )
    leftAt = now
    leaving = nc.getServer()
    change(false)
    move()
  }
  const askOthers: LogConnection['askOthers'] = async (question) => {
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
  }

  return {
    nc,
    connected: () => connected,
    connectedSince: () => (connected || leaving !== null ? connectedSince : performance.now()),
    movedAt: () => movedAt,
    closed: () => nc.isClosed(),
    async ask(question) {
      const began = performance.now()
      try {
        const answer = await askOthers(question)
        silentSince = null
        return answer
      } catch (error) {
        const code = apiCode(error)
        if (code === null || code === NOT_LED) doubt(began)
        else silentSince = null
        throw error
      }
    },
    askOthers,
    doubt,
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

/**
 * A connection that knows all servers, also those that do not run now. @throws what the last has answered, when none can be reached
 */
async function connectAny(settings: LogSettings): Promise<NatsConnection> {
  const options = optionsOf(settings)
  await (await connect({ ...options, reconnect: false })).close()
  // Without this the client would forget for good the servers that it does not reach at first.
  let end = performance.now() + CONNECT_TIMEOUT_MS * (settings.nats.length + 1)
  const reconnectDelayHandler = (): number => {
    if (performance.now() > end) throw new Error('it was lost again at once')
    return RECONNECT_MS * (1 + Math.random())
  }
  const nc = await connect({ ...options, waitOnFirstConnect: true, reconnectDelayHandler })
  end = Infinity
  return nc
}

function optionsOf({ nats, coordinator, credentials, tls_ca }: LogSettings): NodeConnectionOptions {
  return {
    servers: nats,
    name: `stacks-signer ${coordinator ?? ''}`.trim(),
    timeout: CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    // Wrong credentials too may be put right while this process runs.
    ignoreAuthErrorAbort: true,
    pingInterval: PING_MS,
    maxPingOut: MAX_PINGS_OUT,
    // Only the servers that are configured: what they say of each other may be addresses that are none from here.
    ignoreClusterUpdates: true,
    noAsyncTraces: true,
    ...(credentials === undefined ? {} : { authenticator: authenticatorOf(credentials) }),
    // With this a server that does not speak TLS is refused.
    ...(nats.some((url) => url.startsWith('tls:'))
      ? { tls: tls_ca === undefined ? {} : { ca: readSetting('tls_ca', tls_ca).toString() } }
      : {}),
  }
}

/**
 * Read again at every connection, for they expire; while the file cannot be read, or is written just then, those that it had before: the
 * client would close a connection for good whose credentials are none.
 */
export function authenticatorOf(file: string): Authenticator {
  let last = credsAuthenticator(readSetting('credentials', file))
  return (nonce) => {
    try {
      const now = credsAuthenticator(readFileSync(file))
      const proof = now(nonce)
      last = now
      return proof
    } catch {
      return last(nonce)
    }
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
