import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** What startService needs so that `look(pid)` gives the memory of the service after a collection, bytes. */
export function createMemoryProbe() {
  const folder = mkdtempSync(join(tmpdir(), 'bench-memory-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'memory.json')
  return {
    nodeArgs: ['--import', new URL('./memory-probe.mjs', import.meta.url).href],
    env: { BENCH_MEMORY_FILE: file },
    async look(pid) {
      rmSync(file, { force: true })
      process.kill(pid, 'SIGHUP')
      for (let waited = 0; !existsSync(file); waited += 20) {
        if (waited > 20_000) throw new Error('the service does not say its memory')
        await sleep(20)
      }
      return JSON.parse(readFileSync(file, 'utf8'))
    },
  }
}
