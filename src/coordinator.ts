import { existsSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSubmissionOpener } from './chain/encrypted-submissions.js'
import { inOrder } from './chain/preparation.js'
import { createReceiptSigner } from './chain/receipts.js'
import { metricsDefaults, openAiDefaults, openAiOptions, sessionLimits } from './config.js'
import type { Caller } from './core/access/caller.js'
import type { Coordinator, CoordinatorParts } from './coordinator-parts.js'
import type { CoreEvent } from './core/operations.js'
import { createScheduler } from './core/engine/scheduler.js'
import { createDoorAccess } from './door/access.js'
import { createFeedHub } from './door/feed-hub.js'
import { createWatchers } from './door/watchers.js'
import { createAcceptors } from './http/acceptors.js'
import { createApp } from './http/app.js'
import { certificateFiles, readCertificate, watchCertificate } from './http/certificate.js'
import { createConnections } from './http/connections.js'
import { readDashboard } from './http/dashboard.js'
import { createLimits } from './http/limits.js'
import { createOriginGuard } from './http/origin-guard.js'
import { createServer, setCertificate, startListening, trackConnections } from './http/server.js'
import { ConfigError } from './lib/config-error.js'
import { systemTime } from './lib/clock.js'
import { sentences } from './lib/sentences.js'
import { version } from './lib/version.js'
import { createDoorFigures } from './metrics/door-figures.js'
import { openRunner } from './open-runner.js'
import { createOutgoing } from './outgoing.js'
import { fingerprintOf, urlOf, whatIsThere } from './start-report.js'
import { principal } from './rules/principal.js'
import { sessionProtocolDocument } from './wire/asyncapi.js'
import { shownSettings } from './shown-settings.js'
import { createTelemetry } from './telemetry.js'
import { comebackOf } from './ws/comeback.js'
import { createSessionServer } from './ws/session-server.js'

export type { Coordinator, CoordinatorParts, Ownership } from './coordinator-parts.js'
export { StoreError } from './store/open.js'
export { chainDefaults, inferenceDefaults, loadServiceConfig, openAiDefaults, type ServiceConfig } from './config.js'

/** The address is taken, or may not be used. The message says which and what to do. Exit code 1. */
export class ListenError extends Error {}

const notListening = (error: unknown): never => {
  throw new ListenError(error instanceof Error ? error.message : String(error), { cause: error })
}

const NAME = 'stacks-signer'
/** Who asks where the service does so itself. */
const ITSELF: Caller = { principal: principal({ role: 'admin' }), address: null, request_id: null }

/** How many connections may wait to be taken; the system may allow fewer. After a restart all nodes dial at once, and one that finds no place waits for seconds. */
const BACKLOG = 4096

/**
 * Builds a coordinator on its database; it does not listen yet.
 * @throws StoreError when the database cannot be opened; where the core has a thread of its own, listen() throws it
 * @throws ConfigError when the certificate or the data keys cannot be used; before the database is opened
 */
export function createCoordinator({
  settings,
  signer,
  chain,
  callbacks,
  openai = openAiDefaults(),
  dashboard = { enabled: true },
  metrics = metricsDefaults(),
  log,
  time = systemTime,
  insecure = false,
  plainHttp = false,
  onCommitPoint,
  commitPoints,
  certificateInterval,
  ownership,
}: CoordinatorParts): Coordinator {
  const files = certificateFiles(settings)
  const tls = files === null ? null : readCertificate(files)
  const isNew = !existsSync(settings.database_path)
  const core = openRunner({
    settings,
    signer,
    chain,
    callbacks,
    log,
    time,
    onCommitPoint,
    commitPoints,
    epoch: ownership?.epoch,
  })
  const runner = ownership === undefined ? core : ownership.durable(core)
  const logEvents = (events: readonly CoreEvent[]): void => {
    for (const { level, event, ...fields } of events) log[level]({ event, ...fields }, event)
  }
  const access = createDoorAccess({
    exposure: {
      host: settings.api_host,
      publicHosts: settings.public_hosts,
      trustedProxies: settings.trusted_proxies,
      tls: tls !== null,
      authentication: settings.auth.mode,
      insecure,
      plainHttp,
    },
    countLoopback: settings.count_loopback,
    legacyUnsigned: settings.auth.legacy_unsigned,
    network: signer?.network ?? 'testnet',
    time,
    log,
  })
  const figures = createDoorFigures()
  const scheduler = createScheduler({
    runner,
    deliver(effects) {
      sessions.deliver(effects)
      watchers.deliver(effects)
    },
    log: logEvents,
    access: access.follow,
    settlementsDue: () => outgoing.settlementsDue(),
    callbacksDue: () => outgoing.callbacksDue(),
    feed: (items) => feed.deliver(items),
    traced: (ends) => telemetry.traced(ends),
    measured: figures.measured,
    charge: (from, ms) => limits.time.charge(from, ms),
  })
  const outgoing = createOutgoing({ signer, chain, callbacks, ...scheduler, onCallback: figures.calledBack, time, log })
  const taken = () => limits.taken({ connections: connections.open(), sessions: sessions.size() })
  const telemetry = createTelemetry({
    settings: metrics,
    figures,
    ...scheduler,
    taken,
    cluster: ownership?.cluster,
    log,
  })
  const limits = createLimits(settings, Math.max(settings.max_body_bytes, settings.max_message_bytes), () =>
    time.monotonic(),
  )
  const connections = createConnections({
    keysOf: access.remotes.keysOfPeer,
    limits,
    refused: figures.refusedConnection,
    log,
  })
  const opener = signer === undefined ? null : createSubmissionOpener(signer.stacks_private_key, signer.network)
  const steps = [opener, outgoing.step].filter((step) => step !== null)
  const prepare = steps.length === 0 ? null : inOrder(steps)
  let lastSession = 0
  const nextSession = (): number => ++lastSession
  const sessions = createSessionServer({
    ...access,
    anonymousSubmit: settings.auth.anonymous_submit,
    nextSession,
    send: scheduler.send,
    time,
    log,
    ...sessionLimits(settings),
    figures,
    receiving: limits.receiving,
    unsent: limits.unsent,
    shares: limits.time,
    onProven: connections.release,
    publicHosts: settings.public_hosts,
    prepare,
  })
  const watchers = createWatchers({ ...access, send: scheduler.send, nextSession, log })
  const feed = createFeedHub({ ...access, send: scheduler.send })
  const app = createApp({
    ...access,
    anonymousSubmit: settings.auth.anonymous_submit,
    call: scheduler.call,
    watchers,
    feed,
    metrics: telemetry.metrics,
    cluster: ownership?.cluster,
    configuration: shownSettings({ signer, chain, callbacks, openai, dashboard, metrics, inference: settings }),
    refusedSubmission: figures.countRefused,
    openai: openAiOptions(openai, opener?.address),
    opener,
    chain: chain === undefined || signer === undefined ? null : { network: signer.network },
    receipts: signer === undefined ? null : createReceiptSigner(signer.stacks_private_key, signer.network),
    prepare,
    maxBodyBytes: settings.max_body_bytes,
    maxMessageBytes: settings.max_message_bytes,
    maxOutputBytes: settings.max_output_bytes,
    log,
    asyncapi: sessionProtocolDocument(),
    dashboard: dashboard.enabled ? readDashboard() : null,
    wall: () => time.wall(),
    publicHosts: settings.public_hosts,
    warning: () => sentences(certificate?.warning(), access.warning(), outgoing.warning()),
  })
  const guard = createOriginGuard({
    apiHost: settings.api_host,
    publicHosts: settings.public_hosts,
    corsOrigins: settings.cors_origins,
    secure: tls !== null,
  })
  const server = createServer({
    ...access,
    app,
    tls,
    guard,
    limits,
    log,
    overloaded: scheduler.overloaded,
    measured: figures.answered,
    upgrade: (request, socket, head) => sessions.upgrade(request, socket, head),
  })
  connections.watch(server)
  const closeServer = trackConnections(server, createAcceptors({ server, backlog: BACKLOG, log }))
  const certificate =
    files === null || tls === null
      ? null
      : watchCertificate({
          files,
          first: tls,
          apply: (next) => setCertificate(server, next),
          log,
          wall: () => time.wall(),
          interval: certificateInterval,
        })
  let listening = false
  let stopped: Promise<void> | undefined

  const shutDown = async (cut?: AbortSignal, reconnectTo?: string): Promise<void> => {
    const comeback = comebackOf(reconnectTo)
    access.stop(scheduler.send)
    sessions.refuseNew(comeback)
    await scheduler.call({ op: 'stop', ...comeback })
    const deadline = time.monotonic() + settings.shutdown_timeout * 1000
    // Each look is a turn of its own, so that it sees what the turns before it have settled.
    for (;;) {
      await scheduler.call({ op: 'health' })
      if (!scheduler.busy() || time.monotonic() >= deadline || cut?.aborted === true) break
      await sleep(20)
    }
    watchers.stop()
    feed.stop()
    sessions.closeAll('stopping', 'the coordinator stops')
    if (listening) {
      for (const end = time.monotonic() + 3000; sessions.size() > 0 && time.monotonic() < end;) await sleep(5)
      await closeServer(1000)
    }
    certificate?.stop()
    await telemetry.stop()
    await outgoing.stop()
    scheduler.end()
    await runner.close()
    log.info({ event: 'service.stopped' }, 'stopped')
  }

  return {
    async listen() {
      await runner.opened
      const found = await scheduler.call({ op: 'stats', by: ITSELF })
      const mode = access.mode() // the core has told of tokens by now
      if (mode.mode === 'refused') throw new ConfigError(mode.why)
      if (mode.mode === 'on')
        await scheduler.call({ op: 'started', mode: 'on', config: fingerprintOf({ ...settings, chain, callbacks }) })
      const observer = await outgoing.start().catch(notListening)
      await telemetry.start().catch(notListening)
      await startListening(server, settings.api_host, settings.api_port, BACKLOG, log).catch(notListening)
      listening = true
      runner.startBackups()
      access.start(scheduler.send)
      const { port } = server.address() as AddressInfo
      const url = urlOf(settings.api_host, port, tls !== null)
      const { fields, text } = whatIsThere(settings.database_path, isNew, found, dashboard.enabled ? url : null)
      log.info({ event: 'service.listening', version, url, ...fields }, `${NAME} ${version} listens on ${url}; ${text}`)
      return { host: settings.api_host, port, url, observer }
    },
    stop(cut, how) {
      stopped ??= shutDown(cut, how?.reconnectTo)
      return stopped
    },
  }
}
