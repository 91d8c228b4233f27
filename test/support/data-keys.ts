import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tempDir } from './temp-dir.js'

/** A key file with these keys, 32 times the same byte each; the first one seals. */
export function keyFile(...bytes: string[]): string {
  const file = join(tempDir(), 'data.key')
  setKeys(file, ...bytes)
  return file
}

/** What is in a key file from here on. */
export const setKeys = (file: string, ...bytes: string[]): void =>
  writeFileSync(file, bytes.map((byte) => `${byte.repeat(32)}\n`).join(''), { mode: 0o600 })

/** Which of these words are found in the bytes of a database and of what lies beside it. */
export const wordsIn = (database: string, words: readonly string[]): string[] => {
  const bytes = ['', '-wal', '-shm'].map((end) => database + end).filter(existsSync)
  return words.filter((word) => bytes.some((file) => readFileSync(file).includes(word)))
}
