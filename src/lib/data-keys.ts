import { createSecretKey, hkdfSync, randomBytes, type KeyObject } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { ConfigError } from './config-error.js'
import { openMode } from './permissions.js'

const KEY_BYTES = 32
const MAX_FILE_BYTES = 64 * 1024
const LINE = /^[0-9a-f]{64}$/i

/** A key that texts at rest are encrypted under. */
export interface DataKey {
  /** What names it, in what it encrypted and to people: 8 digits of hex. It follows from the key, and says nothing of it. */
  kid: string
  key: KeyObject
}

/** @param bytes 32 of them */
export function dataKey(bytes: Buffer): DataKey {
  const key = createSecretKey(bytes)
  return { kid: Buffer.from(hkdfSync('sha256', key, '', 'key id', 4)).toString('hex'), key }
}

const HEADER = `# Keys of the texts in the database, one a line. The first one encrypts; the others only read what they encrypted before.
# Whoever has this file and the database can read all texts; without it nobody can, ever again. Keep a copy of it, but not
# where copies of the database are kept.
`

/**
 * Makes a file with one new key, for this user alone.
 * @throws ConfigError when there is such a file already, which is left as it is, or it cannot be made
 */
export function createKeyFile(file: string): DataKey {
  const bytes = randomBytes(KEY_BYTES)
  writeNew(file, `${HEADER}${bytes.toString('hex')}\n`)
  syncFolderOf(file)
  return dataKey(bytes)
}

/**
 * Puts a new key before those of a file; it encrypts from the next start on.
 * @throws ConfigError when the file is no key file or others can read it, or another one is just being added
 */
export function addDataKey(file: string): DataKey {
  const lines = linesOf(file, false)
  const bytes = randomBytes(KEY_BYTES)
  // The new file is made beside the old one: at no moment there is less than all old keys, and of two who add only one does.
  const made = `${file}.new`
  writeNew(made, `${HEADER}${[bytes.toString('hex'), ...lines].join('\n')}\n`)
  renameSync(made, file)
  syncFolderOf(file)
  return dataKey(bytes)
}

/**
 * The keys of a file, the one that encrypts first.
 * @param insecure whether a file that others can read is taken
 * @throws ConfigError one line that tells what to do
 */
export const readKeyFile = (file: string, { insecure = false } = {}): DataKey[] =>
  linesOf(file, insecure).map((line) => dataKey(Buffer.from(line, 'hex')))

function linesOf(file: string, insecure: boolean): string[] {
  const mode = openMode(file)
  if (mode !== null && !insecure)
    throw new ConfigError(
      `${file}: others on this machine can read the data key (mode ${mode}); run: chmod 600 ${file}`,
    )
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(
      `${file}: the data key cannot be read (${reasonOf(error)}); without it the stored texts cannot be read`,
    )
  }
  const lines = text
    .slice(0, MAX_FILE_BYTES)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  if (lines.length === 0 || !lines.every((line) => LINE.test(line)) || text.length > MAX_FILE_BYTES)
    throw new ConfigError(`${file}: must hold data keys, one a line: 64 digits of hex, as "keys create" makes them`)
  if (new Set(lines.map((line) => line.toLowerCase())).size < lines.length)
    throw new ConfigError(`${file}: holds a data key twice; remove one of the two lines`)
  return lines
}

/** That a file is there, or has a new name, is on the disk when this returns. Windows has no such thing, nor need of it. */
function syncFolderOf(file: string): void {
  if (process.platform === 'win32') return
  const fd = openSync(dirname(file), 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** What is in the file is on the disk when this returns. */
function writeNew(file: string, text: string): void {
  let fd: number
  try {
    fd = openSync(file, 'wx', 0o600)
  } catch (error) {
    const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST'
    throw new ConfigError(
      exists
        ? `${file}: is there already and is left as it is; name another file, or move it away when nothing needs it any more`
        : `${file}: cannot be made (${reasonOf(error)})`,
    )
  }
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } catch (error) {
    unlinkSync(file) // half a key is worse than none
    throw new ConfigError(`${file}: cannot be written (${reasonOf(error)})`)
  } finally {
    closeSync(fd)
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
