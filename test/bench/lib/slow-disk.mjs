import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

let library

/** The environment in which every fsync and fdatasync takes `ms` longer; {} for 0. Needs a C compiler. */
export function slowDiskEnv(ms) {
  if (!ms) return {}
  if (process.platform !== 'linux') throw new Error('--slow-disk works on Linux only: it preloads a library')
  library ??= compile()
  return { LD_PRELOAD: library, SLOW_DISK_US: String(Math.round(ms * 1000)) }
}

function compile() {
  const folder = mkdtempSync(join(tmpdir(), 'bench-slow-disk-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  chmodSync(folder, 0o755) // a server may run as another user, and a library that cannot be read is passed over in silence
  const file = join(folder, 'slow-disk.so')
  try {
    execFileSync(
      'cc',
      ['-O2', '-shared', '-fPIC', '-o', file, fileURLToPath(new URL('../slow-disk.c', import.meta.url)), '-ldl'],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
  } catch (error) {
    throw new Error(
      error.code === 'ENOENT'
        ? '--slow-disk needs a C compiler named cc on the PATH (Debian: apt-get install gcc libc6-dev)'
        : `cc could not compile slow-disk.c: ${String(error.stderr)}`,
      { cause: error },
    )
  }
  return file
}
