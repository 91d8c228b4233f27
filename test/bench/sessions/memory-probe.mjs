// Loaded into a service that is measured, before its own code: SIGHUP collects garbage and writes what memory is left.
import { renameSync, writeFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread } from 'node:worker_threads'

const file = process.env.BENCH_MEMORY_FILE
if (isMainThread && file !== undefined) {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc')
  process.on('SIGHUP', () => {
    collect()
    collect()
    // The freed pages go back to the system a little later.
    setTimeout(() => {
      writeFileSync(`${file}.new`, JSON.stringify(process.memoryUsage()))
      renameSync(`${file}.new`, file)
    }, 500)
  })
}
