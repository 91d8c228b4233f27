import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { postgresFolder, startServer, unprivileged } from './servers.mjs'
import { bodyOf } from '../lib/tasks.mjs'

export const title = 'graphile-worker'
export const durability =
  'PostgreSQL, fsync on, synchronous_commit on: fsync before every answer; completions written in batches after they are reported, so they are counted once the table is empty'
export const ways = {
  single: { title: 'single', bulk: 1, inFlight: 100 },
  bulk: { title: 'bulk x100, addJobs', bulk: 100, inFlight: 4 },
}
export const idleWays = ['single']
/** Connections of the submitter: more than a handful, so that PostgreSQL can share a flush among commits. */
const SUBMITTERS = 25

const settings = {
  fsync: 'on',
  synchronous_commit: 'on',
  shared_buffers: '512MB',
  max_wal_size: '4GB',
  max_connections: '200',
  listen_addresses: '127.0.0.1',
}

export async function start({ slowDisk }) {
  const bin = postgresFolder()
  const server = await startServer({
    name: join(bin, 'postgres'),
    install: 'apt-get install postgresql-15',
    slowDisk,
    user: unprivileged(),
    stopSignal: 'SIGINT', // does not wait for its clients
    prepare(folder, options) {
      const made = spawnSync(
        join(bin, 'initdb'),
        ['-D', join(folder, 'pg'), '-U', 'bench', '-A', 'trust', '-E', 'UTF8', '--no-locale'],
        { ...options, encoding: 'utf8' },
      )
      if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`)
    },
    args: (port, folder) => [
      '-D',
      join(folder, 'pg'),
      '-p',
      String(port),
      ...Object.entries({ ...settings, unix_socket_directories: folder }).flatMap(([key, value]) => [
        '-c',
        `${key}=${value}`,
      ]),
    ],
  })
  const address = `postgres://bench@127.0.0.1:${server.port}/postgres`
  const { runMigrations } = await import('graphile-worker')
  for (let tries = 0; ; tries++) {
    try {
      await runMigrations({ connectionString: address, logger: await quiet() })
      break
    } catch (error) {
      if (tries >= 50) throw error
      await sleep(100) // it answers a moment before it lets anybody in
    }
  }
  return { address, cpu: server.cpu, stop: server.stop }
}

async function quiet() {
  const { Logger } = await import('graphile-worker')
  return new Logger(() => (level, message) => level === 'error' && console.error(message))
}

export async function connectSubmitter(connectionString) {
  const { makeWorkerUtils } = await import('graphile-worker')
  const utils = await makeWorkerUtils({ connectionString, maxPoolSize: SUBMITTERS, logger: await quiet() })
  const payloadOf = (number) => ({ number, body: bodyOf(number) })
  return {
    submit: (number) => utils.addJob('task', payloadOf(number)),
    submitMany: (numbers) =>
      utils.addJobs(numbers.map((number) => ({ identifier: 'task', payload: payloadOf(number) }))),
    close: () => utils.release(),
  }
}

export async function connectNodes(connectionString, { count, slots, onTask, onSettled }) {
  const { run } = await import('graphile-worker')
  const { default: pg } = await import('pg')
  const pgPool = new pg.Pool({ connectionString, max: 20 })
  pgPool.on('error', (error) => console.error(error))
  pgPool.on('connect', (client) => client.on('error', (error) => console.error(error)))
  const runner = await run({
    pgPool,
    logger: await quiet(),
    noHandleSignals: true,
    // One process with all slots, so that one local queue serves them: the way it is fastest.
    preset: {
      worker: {
        concurrentJobs: count * slots,
        localQueue: { size: Math.max(500, count * slots + 1), refetchDelay: { durationMs: 10 } },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
    taskList: {
      task(payload) {
        if (payload.body !== bodyOf(payload.number)) throw new Error('another body')
        onTask(payload.number)
      },
    },
  })
  runner.events.on('job:complete', ({ job }) => onSettled(job.payload.number))
  return {
    async durable() {
      while (Number((await pgPool.query('select count(*) from graphile_worker._private_jobs')).rows[0].count) > 0)
        await sleep(2)
    },
    async close() {
      await runner.stop()
      await pgPool.end()
    },
  }
}
