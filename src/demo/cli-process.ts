import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** How long one that is asked to leave may take, ms. */
const LEAVE_MS = 5000
const TAIL_LINES = 5

/** A command of this program in a process of its own, as anybody would start it. */
export interface CliProcess {
  child: ChildProcess
  /** Resolves when it has ended. */
  exited: Promise<unknown>
  /** Asks it to finish what it has and to leave; kills it when it does not within 5 s. */
  leave(): Promise<void>
  /** The last lines of its log. */
  tail(): string
}

/** @param home its folder, with its log */
export function startCli(home: string, args: readonly string[]): CliProcess {
  const logFile = join(home, 'log')
  const log = openSync(logFile, 'a')
  const child = spawn(process.execPath, [process.argv[1] ?? '', ...args], { cwd: home, stdio: ['ignore', log, log] })
  closeSync(log)
  const exited = once(child, 'exit')
  return {
    child,
    exited,
    async leave() {
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), LEAVE_MS)
      await exited
      clearTimeout(late)
    },
    tail: () => readFileSync(logFile, 'utf8').trim().split('\n').slice(-TAIL_LINES).join('\n'),
  }
}
