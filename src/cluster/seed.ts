import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import * as v from 'valibot'
import type { Logger } from '../lib/log.js'
import { sleep } from '../lib/timer.js'
import { backUp } from '../store/maintenance/backup.js'
import { removeCopy, syncFolder } from '../store/maintenance/copy.js'
import { JournalUnreachable, type Bus } from './port.js'

const BEGIN = 'seed'
const READ = 'seed.read'
/** A copy is sent in pieces of this size. */
const PIECE_BYTES = 512 * 1024
/** Nobody has asked for a piece of the copy for so long: it is removed, ms. */
const IDLE_MS = 60_000
/** How long a copy may take to be made, and a piece to come, ms. */
const MAKE_MS = 600_000
const PIECE_MS = 5000
/** How often it is looked whether the copy is made, ms. */
const LOOK_MS = 250
/** A piece that does not come is asked for so often. */
const PIECE_TRIES = 6

const copyOf = v.variant('state', [
  v.strictObject({ state: v.literal('making') }),
  v.strictObject({ state: v.literal('failed'), error: v.pipe(v.string(), v.maxLength(2000)) }),
  v.strictObject({
    state: v.literal('ready'),
    id: v.pipe(v.string(), v.uuid()),
    bytes: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  }),
])
type CopyState = v.InferOutput<typeof copyOf>
const pieceRequest = v.strictObject({
  id: v.pipe(v.string(), v.uuid()),
  offset: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
})

const toMessage = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
const fromMessage = <S extends v.GenericSchema>(schema: S, message: Uint8Array): v.InferOutput<S> =>
  v.parse(schema, JSON.parse(Buffer.from(message).toString()))

export interface Seeds {
  /** From where in the log on those need it who begin with the copy that is there, or is being made; null: there is none. */
  needed(): number | null
  /** Removes the copy; one that is being made is given up. */
  stop(): Promise<void>
}

/**
 * Gives others a copy of the owner's file to begin with. One copy is made at a time, of one moment, beside the running service;
 * who asks while it is there gets the same.
 * @param at up to where in the log the file needs nothing any more
 */
export function offerSeeds({
  bus,
  file,
  maxWalBytes,
  at,
  log,
}: {
  bus: Bus
  file: string
  maxWalBytes: number
  at: () => number
  log: Pick<Logger, 'info' | 'warn'>
}): Seeds {
  try {
    removeLeft(file)
  } catch (error) {
    log.warn({ event: 'cluster.seed_left', error: String(error) }, 'copies that an owner has left could not be removed')
  }
  const stopping = new AbortController()
  let copy: { id: string; path: string; bytes: number; handle: FileHandle } | null = null
  /** Of the copy that is there, or is made. */
  let copyAt: number | null = null
  let making: Promise<void> | null = null
  let failed: string | null = null
  let idle: NodeJS.Timeout | undefined

  const drop = async (): Promise<void> => {
    clearTimeout(idle)
    const old = copy
    copy = null
    copyAt = null
    if (old === null) return
    await old.handle.close()
    removeCopy(old.path)
  }
  const used = (): void => {
    clearTimeout(idle)
    idle = setTimeout(() => void drop(), IDLE_MS)
  }
  const make = async (): Promise<void> => {
    const id = randomUUID()
    const path = `${file}.seed-${id}`
    try {
      copyAt = at()
      const bytes = await backUp(file, path, { replace: false, maxWalBytes, signal: stopping.signal })
      copy = { id, path, bytes, handle: await open(path, 'r') }
      used()
      log.info(
        { event: 'cluster.seed_made', bytes },
        `a copy of the database for another coordinator is made (${bytes} bytes)`,
      )
    } catch (error) {
      removeCopy(path)
      copyAt = null
      if (stopping.signal.aborted) return
      failed = error instanceof Error ? error.message : String(error)
      log.warn(
        { event: 'cluster.seed_failed', error: failed },
        'a copy of the database for another coordinator could not be made',
      )
    }
    making = null
  }
  const state = (): CopyState => {
    if (copy !== null) return { state: 'ready', id: copy.id, bytes: copy.bytes }
    const error = failed
    failed = null
    if (error !== null) return { state: 'failed', error: error.slice(0, 2000) }
    making ??= make()
    return { state: 'making' }
  }
  const ends = [
    bus.answer(BEGIN, () => Promise.resolve(toMessage(state()))),
    bus.answer(READ, async (message) => {
      const { id, offset } = fromMessage(pieceRequest, message)
      if (copy?.id !== id) throw new Error('this copy is not there any more; ask for a new one')
      used()
      const piece = Buffer.alloc(Math.max(0, Math.min(PIECE_BYTES, copy.bytes - offset)))
      const { bytesRead } = await copy.handle.read(piece, 0, piece.length, offset)
      return piece.subarray(0, bytesRead)
    }),
  ]
  return {
    needed: () => copyAt,
    async stop() {
      for (const end of ends) end()
      stopping.abort()
      await making
      await drop()
    },
  }
}

/** Removes the copies of an owner that was killed. */
function removeLeft(file: string): void {
  const folder = dirname(file)
  for (const name of readdirSync(folder))
    if (name.startsWith(`${basename(file)}.seed-`)) rmSync(join(folder, name), { force: true })
}

/**
 * Fetches a copy of the owner's file, and puts it where there is none.
 * @returns its size in bytes
 * @throws JournalUnreachable when nobody gives one; Error when it cannot be written, or is not whole
 */
export async function fetchSeed(bus: Pick<Bus, 'request'>, file: string, signal: AbortSignal): Promise<number> {
  if (existsSync(file)) throw new Error(`${file} is in the way of a copy of the owner's`)
  const { id, bytes } = await askFor(bus, signal)
  // A disk that was lost may have been put back empty.
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const partial = `${file}.seeding`
  removeCopy(partial)
  const handle = await open(partial, 'w', 0o600)
  try {
    for (let offset = 0; offset < bytes;) {
      signal.throwIfAborted()
      const piece = await fetchPiece(bus, id, offset)
      if (piece.length === 0) throw new Error('the copy of the owner ended too early')
      await handle.write(piece, 0, piece.length, offset)
      offset += piece.length
    }
    await handle.sync()
  } catch (error) {
    removeCopy(partial)
    throw error
  } finally {
    await handle.close()
  }
  for (const end of ['-wal', '-shm']) rmSync(file + end, { force: true })
  renameSync(partial, file)
  syncFolder(dirname(file))
  return bytes
}

async function askFor(bus: Pick<Bus, 'request'>, signal: AbortSignal): Promise<{ id: string; bytes: number }> {
  for (const until = Date.now() + MAKE_MS; Date.now() < until;) {
    signal.throwIfAborted()
    const answer = fromMessage(copyOf, await bus.request(BEGIN, Buffer.alloc(0), PIECE_MS))
    if (answer.state === 'ready') return answer
    if (answer.state === 'failed') throw new Error(`the owner could not make a copy of its database: ${answer.error}`)
    await sleep(LOOK_MS)
  }
  throw new Error('the owner did not make a copy of its database in time')
}

async function fetchPiece(bus: Pick<Bus, 'request'>, id: string, offset: number): Promise<Uint8Array> {
  for (let i = 1; ; i++) {
    try {
      return await bus.request(READ, toMessage({ id, offset }), PIECE_MS)
    } catch (error) {
      if (!(error instanceof JournalUnreachable) || i === PIECE_TRIES) throw error
    }
  }
}
