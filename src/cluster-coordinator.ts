import { setTimeout as sleep } from 'node:timers/promises'
import { coordinatorName } from './cluster/coordinator-name.js'
import { leaveTopic, type LeaveAnswer } from './cluster/leave.js'
import { createMember, type ClusterMember } from './cluster/member.js'
import { connectLog } from './cluster/nats.js'
import { JournalUnreachable, type ClusterLog } from './cluster/port.js'
import { fetchSeed } from './cluster/seed.js'
import type { Coordinator, Ownership } from './coordinator-parts.js'
import { metricsDefaults, type ServiceConfig } from './config.js'
import { ListenError } from './coordinator.js'
import { certificateFiles, readCertificate, watchCertificate } from './http/certificate.js'
import { createStandby, type StandbyState } from './http/standby.js'
import { systemTime, toSeconds } from './lib/clock.js'
import type { Logger } from './lib/log.js'
import type { ClusterFigures } from './metrics/cluster-metrics.js'
import { startOwning } from './ownership.js'
import { createStandbyTelemetry } from './telemetry.js'

/** A log that cannot be reached at the start is tried again after this, ms. */
const RETRY_MS = 2000

export interface ClusterCoordinatorParts {
  settings: ServiceConfig['inference']
  cluster: NonNullable<ServiceConfig['inference']['cluster']>
  /** What Prometheus reads while it does not own the work. */
  metrics?: ServiceConfig['metrics'] | undefined
  logger: Logger
  /** The service on the file, for the time in which this coordinator owns the work. */
  create(ownership: Ownership): Coordinator
  /** Connects to the log. @throws JournalUnreachable, ConfigError */
  connectTo?: typeof connectLog
  /** How often the certificate's files are looked at, ms. */
  certificateInterval?: number
}

export interface ClusterCoordinator {
  /**
   * Begins: until it owns the work it answers everything by saying who does. @returns where
   * @throws ListenError; ConfigError of a log that does not promise what it has to, or a file that is not of this cluster
   */
  start(): Promise<{ host: string; port: number }>
  /** Rejects when it cannot go on at all, which its first steps may tell; resolves after `stop`. */
  ended: Promise<void>
  /** Gives the work up, to a follower that is there, and ends. @param second aborted: it waits for nobody */
  stop(second?: AbortSignal): Promise<void>
}

/** A coordinator that is one of several. */
export function createClusterCoordinator({
  settings,
  cluster,
  metrics = metricsDefaults(),
  logger,
  create,
  connectTo = connectLog,
  certificateInterval,
}: ClusterCoordinatorParts): ClusterCoordinator {
  const name = coordinatorName(cluster)
  const takeoverAfter = cluster.takeover_after * 1000
  const files = certificateFiles(settings)
  let member: ClusterMember | null = null
  let log: ClusterLog | null = null
  /** Of this process, whatever it was meanwhile. */
  const counted = { takeovers: 0, healed: 0 }
  let stopped = false
  let isStandingBy = false
  let finish: (error?: Error) => void
  const ended = new Promise<void>(
    (resolve, reject) => (finish = (error) => (error === undefined ? resolve() : reject(error))),
  )
  ended.catch(() => undefined) // told by whoever waits for it

  const state = (): StandbyState => {
    const report = member?.report() ?? null
    const owner = report?.owner ?? member?.owner().url ?? null
    const others = owner === cluster.public_url ? null : owner
    return {
      owner: others,
      why:
        others !== null
          ? `${name} does not own the work of this cluster: ask ${others}`
          : `${name} does not own the work of this cluster, and nobody is known to; ask again in a moment`,
      health: {
        status: report?.role === 'follower' ? 'follower' : 'joining',
        timestamp: toSeconds(systemTime.wall()),
        ...(report === null ? {} : { cluster: report }),
      },
    }
  }
  const figures = (): ClusterFigures => ({
    ...counted,
    report: member?.report() ?? null,
    connected: log?.connected() ?? false,
  })
  const certificate = files === null ? null : readCertificate(files)
  const standby = createStandby({
    host: settings.api_host,
    port: settings.api_port,
    tls: certificate,
    state,
  })
  // While this coordinator owns the work the service tells of it.
  const whileStandingBy = (tell: 'info' | 'error') => (fields: Record<string, unknown>, text: string) => {
    if (isStandingBy) logger[tell](fields, text)
  }
  const watch =
    files === null || certificate === null
      ? null
      : watchCertificate({
          files,
          first: certificate,
          apply: standby.use,
          log: { info: whileStandingBy('info'), error: whileStandingBy('error') },
          wall: systemTime.wall,
          interval: certificateInterval,
        })
  const telemetry = createStandbyTelemetry({ settings: metrics, figures, log: logger })
  const standBy = async () => {
    isStandingBy = true
    const at = await standby.open()
    await telemetry.open()
    return at
  }
  const standDown = async (): Promise<void> => {
    isStandingBy = false
    await standby.close()
    await telemetry.close()
  }

  const connect = async (): Promise<ClusterLog | null> => {
    for (let told = false; !stopped; told = true) {
      try {
        return await connectTo(cluster, logger)
      } catch (error) {
        if (!(error instanceof JournalUnreachable)) throw error
        if (!told)
          logger.warn(
            { event: 'cluster.log_unreachable', error: error.message },
            `the log cannot be reached; trying again: ${error.message}`,
          )
        await sleep(RETRY_MS)
      }
    }
    return null
  }
  const begin = async (): Promise<void> => {
    const connected = await connect()
    if (connected === null) return
    if (stopped) return connected.close()
    log = connected
    const made: ClusterMember = createMember({
      file: settings.database_path,
      coordinator: name,
      url: cluster.public_url,
      takeoverAfter,
      log: connected,
      logger,
      async own(claimed) {
        await standDown()
        const owning = await startOwning({
          file: settings.database_path,
          maxWalBytes: settings.max_wal_bytes,
          takeoverAfter,
          log: connected,
          logger,
          claimed,
          create,
          reconnectTo: () => made.successor(),
          followers: () => made.followersAt(),
          shown: { report: () => made.report(), figures },
          healed: (records) => void (counted.healed += records),
        })
        counted.takeovers++
        return owning
      },
      fetchSeed: (signal) => fetchSeed(connected.bus, settings.database_path, signal),
      standBy: async () => void (await standBy()),
    })
    member = made
    const stopAnswers = connected.bus.answer(leaveTopic(name), () =>
      Promise.resolve(Buffer.from(JSON.stringify({ error: made.leave() } satisfies LeaveAnswer))),
    )
    try {
      await made.ended
    } finally {
      stopAnswers()
    }
  }
  let running: Promise<void> = Promise.resolve()
  return {
    async start() {
      const at = await standBy().catch(async (error: unknown) => {
        await standDown()
        throw new ListenError(error instanceof Error ? error.message : String(error), { cause: error })
      })
      running = begin().then(
        () => finish(),
        (error: unknown) => finish(error instanceof Error ? error : new Error(String(error))),
      )
      return at
    },
    ended,
    async stop(second) {
      stopped = true
      await member?.stop(second)
      await standDown()
      watch?.stop()
      await running
    },
  }
}
