import { createHash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { nodeMessages } from '../wire/node.js'
import { attemptKey, type AttemptRef, type Result } from './task.js'

/** The completions a node keeps on disk until they are settled: one file an attempt. Failures carry no paid work. */
export interface UnsettledFolder {
  /** What an earlier run has left. Never throws for a bad file: it is set aside, and `warn` is told. */
  load(warn: (message: string) => void): Promise<Result[]>
  /** Resolves when the result is durable. Rejects when the disk is full or the folder holds too much. */
  put(result: Result): Promise<void>
  /** Removes it, after a `put` of it that is still under way. */
  remove(ref: AttemptRef): Promise<void>
  /** Resolves when nothing is being written or removed. */
  idle(): Promise<void>
}

/** Who the results are for: another coordinator or node_id could only refuse them. */
export interface UnsettledOwner {
  nodeId: string
  /** Of the coordinators that stand for each other: a result is for any of them. At least one. */
  hosts: readonly string[]
}

/** A hello names each of them and must stay far below the size limit. */
export const MAX_UNSETTLED = 4096
export const MAX_UNSETTLED_BYTES = 1024 * 1024 * 1024
const MAX_FILE_BYTES = 256 * 1024 * 1024

const fileSchema = v.object({
  version: v.literal(1),
  node_id: v.string(),
  host: v.string(),
  result: nodeMessages['task.complete'],
})

const fileName = ({ task_id, attempt }: AttemptRef): string =>
  `${createHash('sha256').update(task_id).digest('hex').slice(0, 32)}-${attempt}.json`

/** @param limits for tests */
export function openUnsettledFolder(
  folder: string,
  owner: UnsettledOwner,
  limits = { count: MAX_UNSETTLED, bytes: MAX_UNSETTLED_BYTES },
): UnsettledFolder {
  const sizes = new Map<string, number>()
  let total = 0
  /** The last thing that is done to a file: the next one waits for it. */
  const tails = new Map<string, Promise<void>>()

  const forget = (name: string): void => {
    total -= sizes.get(name) ?? 0
    sizes.delete(name)
  }
  const inTurn = (name: string, step: () => Promise<void>): Promise<void> => {
    const turn = (tails.get(name) ?? Promise.resolve()).then(step, step)
    tails.set(name, turn)
    const end = (): void => {
      if (tails.get(name) === turn) tails.delete(name)
    }
    turn.then(end, end)
    return turn
  }

  const readOne = async (name: string, warn: (message: string) => void): Promise<Result | null> => {
    const file = join(folder, name)
    const { size } = await stat(file)
    const parsed = size > MAX_FILE_BYTES ? null : parse(await readFile(file, 'utf8'))
    if (parsed === null) {
      await rename(file, `${file}.corrupt`)
      warn(`${file}: is no result of a task; it was set aside as ${name}.corrupt`)
      return null
    }
    if (parsed.node_id !== owner.nodeId || !owner.hosts.includes(parsed.host)) {
      warn(
        `${file}: is a result for ${parsed.host} by ${parsed.node_id}; it stays there until a node of that name comes back to that coordinator`,
      )
      return null
    }
    if (sizes.size >= limits.count || total + size > limits.bytes) {
      warn(`${file}: there are too many results to load; it stays there for the next start`)
      return null
    }
    sizes.set(name, size)
    total += size
    return parsed.result
  }

  return {
    async load(warn) {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const results: Result[] = []
      for (const name of (await readdir(folder)).sort()) {
        try {
          if (name.endsWith('.tmp')) await rm(join(folder, name)) // was never sent, and its attempt will be made again
          if (!name.endsWith('.json')) continue
          const result = await readOne(name, warn)
          if (result !== null) results.push(result)
        } catch (error) {
          warn(`${join(folder, name)}: cannot be read (${error instanceof Error ? error.message : String(error)})`)
        }
      }
      return results
    },

    put(result) {
      const name = fileName(result)
      const content = JSON.stringify({ version: 1, node_id: owner.nodeId, host: owner.hosts[0], result })
      const bytes = Buffer.byteLength(content)
      if (sizes.size >= limits.count || total + bytes > limits.bytes) {
        return Promise.reject(new Error(`${folder}: holds too many unsettled results (${sizes.size}, ${total} bytes)`))
      }
      forget(name)
      sizes.set(name, bytes)
      total += bytes
      return inTurn(name, async () => {
        try {
          await writeDurably(folder, name, content)
        } catch (error) {
          forget(name)
          throw new Error(
            `${folder}: ${attemptKey(result)} cannot be kept there: ${error instanceof Error ? error.message : String(error)}`,
            { cause: error },
          )
        }
      })
    },

    remove(ref) {
      const name = fileName(ref)
      if (!sizes.has(name)) return Promise.resolve()
      return inTurn(name, async () => {
        await rm(join(folder, name), { force: true })
        forget(name)
      })
    },

    async idle() {
      await Promise.allSettled(tails.values())
    },
  }
}

function parse(content: string): v.InferOutput<typeof fileSchema> | null {
  try {
    return v.parse(fileSchema, JSON.parse(content))
  } catch {
    return null // the caller sets the file aside
  }
}

/** A crash at any moment leaves the whole file or none of that name. */
async function writeDurably(folder: string, name: string, content: string): Promise<void> {
  const file = join(folder, name)
  const temporary = `${file}.tmp`
  const handle = await open(temporary, 'w', 0o600)
  try {
    await handle.writeFile(content)
    await handle.sync()
  } catch (error) {
    await handle.close()
    await rm(temporary, { force: true })
    throw error
  }
  await handle.close()
  await rename(temporary, file)
  if (process.platform === 'win32') return // folders cannot be opened there
  const directory = await open(folder, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
