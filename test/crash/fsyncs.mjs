/**
 * `node test/crash/fsyncs.mjs [--tasks 100] [--dir FOLDER] [--slow yes]` (a slow disk): counts what the serving process syncs while tasks are submitted one
 * after the other, and looks at the order of its system calls: no byte of an answer may leave while something that was written
 * to the WAL is not synced. Needs strace.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { print } from './check.mjs'
import { readFlags } from './random.mjs'

const SLOW_SYNC = new URL('../support/slow-sync.mjs', import.meta.url).href
const SERVE = fileURLToPath(new URL('serve.mjs', import.meta.url))
const CALLS = 'fsync,fdatasync,pwrite64,pwritev,write,writev,sendto,sendmsg'

export function straceExists() {
  try {
    execFileSync('strace', ['-o', '/dev/null', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false // not installed, or tracing is not allowed here
  }
}

/** Submits so many tasks one after the other to a service under strace. */
export async function countSyncs(dir, tasks, slow = false) {
  if (!straceExists()) return { figures: { strace: 'not here' }, wrong: [] }
  mkdirSync(dir, { recursive: true })
  const trace = join(dir, 'trace.txt')
  const strace = spawn(
    'strace',
    [
      '-f',
      '-yy',
      '-s',
      '0',
      '-o',
      trace,
      '-e',
      `trace=${CALLS}`,
      process.execPath,
      ...(slow ? ['--import', SLOW_SYNC] : []),
      SERVE,
    ],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { ...process.env, SLOW_SYNC_MS: slow ? '4' : '0' } },
  )
  const ended = once(strace, 'exit')
  try {
    strace.send({ settings: { database_path: join(dir, 'inference.db'), api_port: 0 }, kill: null })
    const [{ url }] = await Promise.race([
      once(strace, 'message'),
      ended.then(() => Promise.reject(new Error('strace ended'))),
    ])
    const before = readFileSync(trace, 'utf8').split('\n').length - 1
    for (let i = 0; i < tasks; i++) {
      const body = JSON.stringify({
        user_address: 'ST1',
        user_input: 'x',
        infer_fee: 1,
        max_infer_time: 30,
        model_name: 'llama',
      })
      const answer = await fetch(`${url}/api/v1/tasks/submit`, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json' },
      })
      if (answer.status !== 200) throw new Error(`submit: ${answer.status}`)
      await answer.arrayBuffer()
    }
    strace.disconnect() // the service ends, and with it its tracer
    await ended
    const lines = readFileSync(trace, 'utf8').split('\n').slice(before)
    const { figures, wrong } = judge(lines, tasks)
    // A check that never fails proves nothing: without its syncs the same trace must be found wrong.
    if (
      judge(
        lines.filter((line) => !line.includes('sync(')),
        tasks,
      ).wrong.length < tasks
    )
      wrong.push('the check does not notice that nothing is synced')
    return { figures, wrong }
  } finally {
    strace.kill('SIGKILL')
    await ended
  }
}

function judge(lines, tasks) {
  const wrong = []
  let syncs = 0
  let answers = 0
  let unsynced = false
  /** Threads whose sync of the log has begun and not ended. */
  const syncing = new Set()
  for (const line of lines) {
    const resumed = /^(\d+)\s+<\.\.\. (\w+) resumed>/.exec(line)
    if (resumed !== null && resumed[2].endsWith('sync') && syncing.delete(resumed[1])) unsynced = false
    const call = /^(\d+)\s+(\w+)\(\d+<([^>]*)>/.exec(line)
    if (call === null) continue
    const [, thread, name, target] = call
    if (name === 'fsync' || name === 'fdatasync') {
      syncs++
      if (!target.endsWith('-wal')) continue
      if (line.includes('<unfinished')) syncing.add(thread)
      else unsynced = false
    } else if (target.endsWith('-wal')) unsynced = true
    else if (target.startsWith('TCP')) {
      answers++
      if (unsynced) wrong.push(`an answer left before the WAL was synced: ${line}`)
    }
  }
  if (syncs < tasks) wrong.push(`${syncs} syncs for ${tasks} acknowledgements, one after the other`)
  if (answers < tasks) wrong.push(`only ${answers} writes to sockets were seen for ${tasks} answers`)
  return {
    figures: {
      'serial acknowledgements': tasks,
      'fsync and fdatasync': syncs,
      'syncs per acknowledgement': (syncs / tasks).toFixed(2),
      'answers written before their sync': wrong.filter((w) => w.includes('left before')).length,
    },
    wrong,
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const flags = readFlags(process.argv.slice(2), { tasks: '100', dir: '', slow: 'no' })
  const dir = flags.dir === '' ? mkdtempSync(join(tmpdir(), 'inference-fsyncs-')) : flags.dir
  const { figures, wrong } = await countSyncs(dir, Number(flags.tasks), flags.slow === 'yes')
  print(figures)
  for (const text of wrong.slice(0, 20)) console.log(`  ${text}`)
  if (wrong.length > 0) process.exitCode = 1
  if (flags.dir === '') rmSync(dir, { recursive: true })
}
