import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { endianness } from 'node:os'
import { join } from 'node:path'
import { createMember } from '../../../src/cluster/member.js'
import { JournalUnreachable, type Journal } from '../../../src/cluster/port.js'
import { coreOptions, familiesOf, inferenceDefaults } from '../../../src/config.js'
import type { Coordinator, Ownership } from '../../../src/coordinator-parts.js'
import { sameThread, type CoreRunner } from '../../../src/core/engine/runner.js'
import { createScheduler } from '../../../src/core/engine/scheduler.js'
import type { Operation, Results } from '../../../src/core/operations.js'
import type { Outcome } from '../../../src/lib/result.js'
import type { Logger } from '../../../src/lib/log.js'
import { startOwning } from '../../../src/ownership.js'
import { calm } from '../../support/service.js'
import type { MemoryLog } from './memory-log.js'

export const TAKEOVER_MS = 10_000
const MAX_WAL_BYTES = 1024 * 1024 * 1024
const FILE = 'inference.db'

/** A rule that is broken on purpose, to see that it is noticed. */
export interface Broken {
  /** The journal that a follower, and a claim, see. */
  followed?: (journal: Journal) => Journal
  /** The journal that an owner writes to. */
  written?: (journal: Journal) => Journal
  /** A core whose turns somebody is told of. `durable`: as it is told by the real rules. */
  durable?: (core: CoreRunner, durable: Ownership['durable']) => ReturnType<Ownership['durable']>
}

export interface ModelParts {
  name: string
  folder: string
  log: MemoryLog
  logger: Logger
  random(): number
  broken: Broken
  /** The others, of whom one may have a copy of the owner's file. */
  others(): readonly ModelMember[]
}

export type ModelMember = ReturnType<typeof startMember>

/** A coordinator of a cluster without its doors: member, ownership, core and file are the real ones. */
export function startMember({ name, folder, log, logger, random, broken, others }: ModelParts) {
  const file = join(folder, FILE)
  const client = log.connect()
  let service: Service | null = null
  let dead = false
  const unanswered = new Set<() => void>()
  const { followed = same, written = same } = broken

  /** A copy of the owner's file as it is now, that comes some time later. */
  const fetchSeed = async (): Promise<number> => {
    const owners = others().filter((one) => one.isOwner() && one.client.isOnBus())
    const owner = owners[Math.floor(random() * owners.length)]
    if (owner === undefined || !client.isOnBus()) throw new JournalUnreachable('nobody has a copy')
    const copy = `${folder}.seed`
    copyFiles(owner.folder, copy)
    await new Promise((resolve) => setTimeout(resolve, random() * 3000))
    copyFiles(copy, folder)
    return statSync(file).size
  }
  const create = (ownership: Ownership): Coordinator => {
    const made = createService(file, logger, ownership, broken)
    return {
      async listen() {
        await made.begin()
        service = made
        return { host: '', port: 0, url: '', observer: null }
      },
      async stop() {
        await made.end()
        if (service === made) service = null
      },
    }
  }
  const member = createMember({
    file,
    coordinator: name,
    url: `http://${name}`,
    takeoverAfter: TAKEOVER_MS,
    log: { ...client.log, journal: followed(client.log.journal) },
    logger,
    own: (claimed) =>
      startOwning({
        file,
        maxWalBytes: MAX_WAL_BYTES,
        takeoverAfter: TAKEOVER_MS,
        log: { ...client.log, journal: written(client.log.journal) },
        logger,
        claimed,
        create,
        reconnectTo: () => member.successor(),
        followers: () => member.followersAt(),
        shown: {
          report: () => member.report(),
          figures: () => ({ report: member.report(), connected: true, takeovers: 0, healed: 0 }),
        },
        healed: () => undefined,
      }),
    fetchSeed,
    standBy: () => Promise.resolve(),
  })
  let failure: unknown = null
  member.ended.catch((error: unknown) => (failure = error))

  return {
    name,
    folder,
    file,
    client,
    isDead: () => dead,
    failure: () => failure,
    role: member.role,
    /** The newest record of its file: its number, and its epoch. */
    newest(): string {
      const { record, epoch } = member.report()
      return place(record, epoch)
    },
    /** Whether it answers, and says that it owns the work. */
    isOwner: (): boolean => !dead && service !== null,
    /** As a client asks it, which learns nothing when it dies. @returns null then, or where it does not own the work */
    call<O extends Operation>(operation: O): Promise<Outcome<Results[O['op']]> | null> {
      const asked = service
      if (dead || asked === null) return Promise.resolve(null)
      return new Promise((resolve) => {
        const never = (): void => resolve(null)
        unanswered.add(never)
        void asked.call(operation).then((outcome) => {
          unanswered.delete(never)
          resolve(dead ? null : outcome)
        })
      })
    },
    leave: () => (dead ? null : member.leave()),
    /**
     * It dies as of SIGKILL; what goes on of it here is heard by nobody.
     * @param to where its files are found as they were; null: they are gone with it
     * @param lostCommits the machine has lost its power, and of what SQLite had not synced this share is gone: also what was
     * synced beside it, and is in the log
     */
    die(to: string | null, lostCommits = 0) {
      dead = true
      if (to !== null) {
        copyFiles(folder, to)
        if (lostCommits > 0) loseCommits(folder, to, lostCommits)
      }
      client.kill()
      for (const never of [...unanswered]) never()
      void member.stop()
    },
    stop: () => member.stop(),
  }
}
export const place = (n: number, epoch: number): string => `${n} of epoch ${epoch}`
const same = (journal: Journal): Journal => journal

/** A database and its write-ahead log. */
function copyFiles(from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  for (const end of ['', '-wal']) {
    rmSync(join(to, FILE + end), { force: true })
    if (existsSync(join(from, FILE + end))) cpSync(join(from, FILE + end), join(to, FILE + end))
  }
}

/** Where the index of a write-ahead log says how many frames the database has, or was being given, and how large a page is. */
const BACKFILLED_AT = 96
const BACKFILLING_AT = 128
const PAGE_SIZE_AT = 14
const WAL_HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24

/**
 * What a power cut leaves of commits that were not synced: a log that ends earlier. Never before what the database has of it: a
 * checkpoint syncs the log first.
 */
function loseCommits(folder: string, image: string, share: number): void {
  const [index, wal] = [join(folder, `${FILE}-shm`), join(image, `${FILE}-wal`)]
  if (!existsSync(index) || !existsSync(wal)) return
  const header = new DataView(Uint8Array.from(readFileSync(index)).buffer)
  const isLittle = endianness() === 'LE' // it is memory of this machine
  const frames = Math.max(header.getUint32(BACKFILLED_AT, isLittle), header.getUint32(BACKFILLING_AT, isLittle))
  const page = header.getUint16(PAGE_SIZE_AT, isLittle)
  const synced = frames === 0 ? 0 : WAL_HEADER_BYTES + frames * (FRAME_HEADER_BYTES + page)
  const { size } = statSync(wal)
  truncateSync(wal, Math.max(Math.min(synced, size), Math.floor(size * (1 - share))))
}

type Service = ReturnType<typeof createService>

/** What a coordinator is without its doors. @throws StoreError */
function createService(file: string, logger: Logger, ownership: Ownership, { durable }: Broken) {
  const settings = inferenceDefaults({ ...calm, database_path: file })
  const core = sameThread({
    settings: {
      database_path: file,
      families: familiesOf(settings),
      options: coreOptions(settings, null, false),
      backups: null,
      dataKeys: [],
      wrappingKey: null,
      debug: false,
      epoch: ownership.epoch,
    },
    log: logger,
    time: { wall: () => Date.now(), monotonic: () => performance.now() },
    onFailure(error) {
      throw error
    },
  })
  const runner = durable === undefined ? ownership.durable(core) : durable(core, (c) => ownership.durable(c))
  const { call, end } = createScheduler({ runner, deliver: () => undefined, log: () => undefined })
  return {
    call,
    async begin() {
      await runner.opened
      await call({ op: 'stats' })
    },
    async end() {
      await call({ op: 'stop', reconnect_after: 5 })
      await call({ op: 'health' })
      end()
      await runner.close()
    },
  }
}
