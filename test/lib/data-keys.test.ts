import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/lib/config-error.js'
import { addDataKey, createKeyFile, dataKey, readKeyFile } from '../../src/lib/data-keys.js'
import { tempDir } from '../support/temp-dir.js'

const kids = (file: string): string[] => readKeyFile(file).map((key) => key.kid)
const keyLines = (file: string): string[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
/** A file for this user alone. */
function fileOf(text: string): string {
  const file = join(tempDir(), 'data.key')
  writeFileSync(file, text, { mode: 0o600 })
  return file
}

test('a key has the id that follows from it', () => {
  // HKDF-SHA-256 by another implementation.
  expect(dataKey(Buffer.alloc(32, 0x22)).kid).toBe('9daf2bf9')
})

test('a new key file has one key of its own, for this user alone', () => {
  const [a, b] = [join(tempDir(), 'a.key'), join(tempDir(), 'b.key')]
  const { kid } = createKeyFile(a)
  expect(kids(a)).toEqual([kid])
  expect(kid).toMatch(/^[0-9a-f]{8}$/)
  expect(createKeyFile(b).kid).not.toBe(kid)
  if (process.platform !== 'win32') expect(statSync(a).mode & 0o777).toBe(0o600)
})

test('a key file that is there is never overwritten', () => {
  const file = fileOf('something else')
  expect(() => createKeyFile(file)).toThrow(
    new ConfigError(
      `${file}: is there already and is left as it is; name another file, or move it away when nothing needs it any more`,
    ),
  )
  expect(readFileSync(file, 'utf8')).toBe('something else')
  expect(() => createKeyFile(join(file, 'below'))).toThrow(/cannot be made \(/)
})

test('a key that is added comes before the others, and none is lost', () => {
  const file = join(tempDir(), 'data.key')
  const first = createKeyFile(file)
  const lines = keyLines(file)
  const second = addDataKey(file)
  const third = addDataKey(file)
  expect(kids(file)).toEqual([third.kid, second.kid, first.kid])
  expect(keyLines(file)[2]).toBe(lines[0])
  expect(readdirSync(join(file, '..'))).toEqual(['data.key'])
  if (process.platform !== 'win32') expect(statSync(file).mode & 0o777).toBe(0o600)
})

test('of two who add a key at once one is refused, and the file is whole', () => {
  const file = join(tempDir(), 'data.key')
  createKeyFile(file)
  const before = kids(file)
  writeFileSync(`${file}.new`, 'half')
  expect(() => addDataKey(file)).toThrow(`${file}.new: is there already`)
  expect(kids(file)).toEqual(before)
})

test('comments, blank lines, capital letters and other line ends change nothing', () => {
  const line = 'ab'.repeat(32)
  const file = fileOf(`# mine\r\n\r\n  ${line.toUpperCase()}\r\n\n# old\n${'cd'.repeat(32)}`)
  expect(kids(file)).toEqual([line, 'cd'.repeat(32)].map((hex) => dataKey(Buffer.from(hex, 'hex')).kid))
})

test.each([
  ['', 'must hold data keys'],
  ['# only a comment\n', 'must hold data keys'],
  ['ab'.repeat(31), 'must hold data keys'],
  [`${'ab'.repeat(32)} `.repeat(2), 'must hold data keys'],
  [`${'ab'.repeat(32)}\nzz`, 'must hold data keys'],
  ['\0'.repeat(32), 'must hold data keys'],
  [`${'ab'.repeat(32)}\n`.repeat(2000), 'must hold data keys'],
  [`${'ab'.repeat(32)}\n${'AB'.repeat(32)}\n`, 'holds a data key twice'],
])('a file with %.40j is refused: it %s', (text, message) => {
  const file = fileOf(text)
  expect(() => readKeyFile(file)).toThrow(ConfigError)
  expect(() => readKeyFile(file)).toThrow(`${file}: ${message}`)
  expect(() => addDataKey(file)).toThrow(ConfigError)
  expect(readFileSync(file, 'utf8')).toBe(text)
})

test('a file that is not there, or is a folder, is said to be so', () => {
  const missing = join(tempDir(), 'none.key')
  const folder = join(tempDir(), 'folder')
  mkdirSync(folder, { mode: 0o700 })
  expect(() => readKeyFile(missing)).toThrow(/none\.key: the data key cannot be read \(ENOENT.*\); without it/)
  expect(() => readKeyFile(folder)).toThrow(/folder: the data key cannot be read \(EISDIR/)
})

describe.skipIf(process.platform === 'win32')('on a machine with other users', () => {
  test.each([0o644, 0o640, 0o604])('a key file of mode %i is refused, unless that is asked for', (mode) => {
    const file = join(tempDir(), 'data.key')
    const { kid } = createKeyFile(file)
    chmodSync(file, mode)
    expect(() => readKeyFile(file)).toThrow(
      new ConfigError(
        `${file}: others on this machine can read the data key (mode 0${mode.toString(8)}); run: chmod 600 ${file}`,
      ),
    )
    expect(() => addDataKey(file)).toThrow(ConfigError)
    expect(readKeyFile(file, { insecure: true }).map((key) => key.kid)).toEqual([kid])
  })
})
