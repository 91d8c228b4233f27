/**
 * Preloaded with --import: a disk on which every fdatasync of the service takes SLOW_SYNC_MS longer, and fails once the file FAIL_SYNC is
 * there.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const { fdatasync, fdatasyncSync } = fs
const ms = Number(process.env.SLOW_SYNC_MS ?? 0)
const still = new Int32Array(new SharedArrayBuffer(4))
const failure = () =>
  process.env.FAIL_SYNC !== undefined && fs.existsSync(process.env.FAIL_SYNC)
    ? Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })
    : null

fs.fdatasync = (fd, then) =>
  void setTimeout(() => {
    const error = failure()
    if (error === null) fdatasync(fd, then)
    else then(error)
  }, ms)
fs.fdatasyncSync = (fd) => {
  if (ms > 0) Atomics.wait(still, 0, 0, ms)
  const error = failure()
  if (error !== null) throw error
  fdatasyncSync(fd)
}
syncBuiltinESMExports()
