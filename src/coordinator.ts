import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { coreOptions, familiesOf, type ServiceConfig } from './config.js'
import { createCore } from './core/core.js'
import type { CoreEvent } from './core/operations.js'
import { createTurns } from './core/turns.js'
import { createApp } from './http/app.js'
import { createServer, trackConnections } from './http/server.js'
import { ConfigError } from './lib/config-error.js'
import { systemTime, type TimeSource } from './lib/clock.js'
import type { Logger } from './lib/log.js'
import { createBackups } from './store/backups.js'
import { openDatabase } from './store/open.js'
import { createStore, type Store } from './store/store.js'
import { createModelTable } from './tasks/models.js'
import { nodeProtocolDocument } from './wire/asyncapi.js'
import { createSessionServer } from './ws/upgrade.js'

export { StoreError } from './store/open.js'
export { inferenceDefaults, loadServiceConfig, type ServiceConfig } from './config.js'

/** The address is taken, or may not be used. The message says which and what to do. Exit code 1. */
export class ListenError extends Error {}

export interface Coordinator {
  /** Starts to serve. @throws ListenError */
  listen(): Promise<{ host: string; port: number; url: string }>
  /**
   * Stops in order: refuses what is new, tells the nodes, takes results until none holds a task or the time is over
   * (`cut` ends the wait), closes sessions, server and database. Leases stay: they are durable.
   */
  stop(cut?: AbortSignal): Promise<void>
}

export interface CoordinatorParts {
  settings: ServiceConfig['inference']
  log: Logger
  time?: TimeSource
  /** Told where a commit is: for tests that end the process just there. */
  onCommitPoint?: (point: CommitPoint) => void
}

/** The most connections beside those of sessions. */
const MAX_REST_CONNECTIONS = 10_000

/** Before the fsync of a turn; after it, before any answer; after the answers were written to their sockets. */
export type CommitPoint = 'before commit' | 'after commit' | 'after reply'

/**
 * Builds a coordinator on its database; it does not listen yet.
 * @throws StoreError when the database cannot be opened
 * @throws ConfigError when a certificate cannot be read
 */
export function createCoordinator({ settings, log, time = systemTime, onCommitPoint }: CoordinatorParts): Coordinator {
  const tls = readCertificate(settings)
  const database = openDatabase(settings.database_path)
  const { adopted, unvacuumed } = database
  if (adopted !== null) log.info({ event: 'database.adopted', ...adopted }, 'database of the original service adopted')
  if (unvacuumed !== null) log.warn({ event: 'database.unvacuumed', error: unvacuumed }, 'the file keeps the room of deleted tasks to itself; the next start tries again')
  const store = createStore(database.db)
  const core = createCore({
    store: onCommitPoint === undefined ? store : withCommitPoints(store, onCommitPoint),
    models: createModelTable(familiesOf(settings)),
    options: coreOptions(settings),
    time,
  })
  const logEvents = (events: readonly CoreEvent[]): void => {
    for (const { level, event, ...fields } of events) log[level]({ event, ...fields }, event)
  }
  const turns = createTurns({ core, deliver: (effects) => sessions.deliver(effects), log: logEvents })
  const sessions = createSessionServer({
    send: turns.send,
    time,
    maxMessageBytes: settings.max_message_bytes,
    maxMessagesPerSecond: settings.max_messages_per_second,
    maxHandshakes: settings.max_handshakes,
    maxSessions: settings.max_sessions,
    maxSessionsPerAddress: settings.max_sessions_per_address,
    publicHosts: settings.public_hosts,
  })
  const app = createApp({ call: turns.call, maxBodyBytes: settings.max_body_bytes, maxRequestsPerSecond: settings.max_requests_per_second, monotonic: () => time.monotonic(), log, asyncapi: nodeProtocolDocument(), wall: () => time.wall() })
  const server = createServer(app, tls, log)
  server.maxConnections = settings.max_sessions + MAX_REST_CONNECTIONS
  const closeServer = trackConnections(server)
  const backups =
    settings.backup_dir === undefined
      ? null
      : createBackups({ db: database.db, dir: settings.backup_dir, interval: settings.backup_interval * 1000, keep: settings.backup_keep, log, time })
  server.on('upgrade', (request, socket, head) => sessions.upgrade(request, socket, head))
  let listening = false
  let stopped: Promise<void> | undefined

  const shutDown = async (cut?: AbortSignal): Promise<void> => {
    sessions.refuseNew()
    await turns.call({ op: 'stop', reconnect_after: 5 })
    const deadline = time.monotonic() + settings.shutdown_timeout * 1000
    // Each look is a turn of its own, so that it sees what the turns before it have settled.
    for (;;) {
      await turns.call({ op: 'health' })
      if (!turns.busy() || time.monotonic() >= deadline || cut?.aborted === true) break
      await sleep(20)
    }
    sessions.closeAll('stopping', 'the coordinator stops')
    if (listening) {
      for (const end = time.monotonic() + 3000; sessions.size() > 0 && time.monotonic() < end; ) await sleep(5)
      await closeServer(1000)
    }
    turns.end()
    await backups?.stop()
    try {
      core.close()
    } finally {
      database.close()
    }
    log.info({ event: 'service.stopped' }, 'stopped')
  }

  return {
    async listen() {
      await new Promise<void>((resolve, reject) => {
        const failed = (error: NodeJS.ErrnoException): void => reject(new ListenError(explainListen(settings, error)))
        server.once('error', failed)
        server.listen(settings.api_port, settings.api_host, () => {
          server.off('error', failed)
          server.on('error', (error) => log.error({ event: 'server.failed', err: error }, 'the server failed'))
          resolve()
        })
      })
      listening = true
      backups?.start()
      const { port } = server.address() as AddressInfo
      const host = settings.api_host.includes(':') ? `[${settings.api_host}]` : settings.api_host
      const url = `${tls === null ? 'http' : 'https'}://${host}:${port}`
      log.info({ event: 'service.listening', url, database: settings.database_path }, 'listening')
      return { host: settings.api_host, port, url }
    },
    stop(cut) {
      stopped ??= shutDown(cut)
      return stopped
    },
  }
}

/** Answers leave in the turn of the commit and are written at its end, so two turns later they are out. */
function withCommitPoints(store: Store, at: (point: CommitPoint) => void): Store {
  return {
    ...store,
    commit() {
      at('before commit')
      const result = store.commit()
      at('after commit')
      setImmediate(() => setImmediate(() => at('after reply')))
      return result
    },
  }
}

function readCertificate(settings: ServiceConfig['inference']): { cert: Buffer; key: Buffer } | null {
  if (settings.tls_cert === undefined || settings.tls_key === undefined) return null
  const read = (key: 'tls_cert' | 'tls_key', file: string): Buffer => {
    try {
      return readFileSync(file)
    } catch (error) {
      throw new ConfigError(`inference.${key}: ${file} cannot be read (${error instanceof Error ? error.message : String(error)})`)
    }
  }
  return { cert: read('tls_cert', settings.tls_cert), key: read('tls_key', settings.tls_key) }
}

function explainListen({ api_host, api_port }: ServiceConfig['inference'], error: NodeJS.ErrnoException): string {
  const where = `${api_host}:${api_port}`
  if (error.code === 'EADDRINUSE') return `${where} is in use by another program; stop it, or choose another port with --api-port`
  if (error.code === 'EACCES') return `${where} may not be used by this user; choose a port above 1023 with --api-port`
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND') return `${where} is not an address of this machine; choose another with --api-host`
  return `cannot listen on ${where}: ${error.message}`
}
