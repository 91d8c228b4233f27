import { spawn, type ChildProcess } from 'node:child_process'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, isAbsolute, join } from 'node:path'
import type { NodeTask } from '../task.js'
import { after } from '../../lib/timer.js'
import { BackendDown, WorkError } from '../work-error.js'
import type { Backend } from './backend.js'
import { promptOf } from './prompt.js'

export interface CommandOptions {
  /** The program: a path, or a name that is looked up in PATH. No shell is involved. */
  command: string
  args?: readonly string[] | undefined
  /** What its environment holds beside TASK_ID, ATTEMPT, MODEL_NAME and MODEL_TYPE; PATH is looked up in here. */
  env: Readonly<Record<string, string | undefined>>
  /** How long it has between SIGTERM and SIGKILL, seconds. Default 2. */
  killAfter?: number | undefined
}

const STDERR_TAIL_LENGTH = 2000
/** How long the output of a program that was killed may take to close, ms. */
const CLOSE_TIMEOUT_MS = 1000

/** Programs that run: groups of their own, so a terminal that goes away does not end them. */
const live = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of live) signalGroup(child, 'SIGKILL')
})

/** Runs a program for each task: the prompt on its standard input, the answer on its standard output. */
export function command({ command: program, args = [], env, killAfter = 2 }: CommandOptions): Backend {
  const run = async function* (task: NodeTask, signal: AbortSignal): AsyncGenerator<string, void> {
    const child = spawn(program, args, {
      env: {
        ...env,
        TASK_ID: task.task_id,
        ATTEMPT: String(task.attempt),
        MODEL_NAME: task.model_name,
        MODEL_TYPE: task.model_type,
      },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: process.platform !== 'win32', // a group of its own, so that what it starts ends with it
      windowsHide: true,
    })
    const ended = endOf(child)
    live.add(child)
    void ended.then(() => live.delete(child))
    const kill = killer(child, killAfter)
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-STDERR_TAIL_LENGTH)))
    child.stdin.on('error', () => undefined) // a program need not read its input; how it ends tells
    child.stdin.end(promptOf(task))
    child.once('exit', kill.leftovers)
    signal.addEventListener('abort', kill.now)
    if (signal.aborted) kill.now()
    try {
      try {
        for await (const text of child.stdout.setEncoding('utf8') as AsyncIterable<string>) yield text
      } catch (error) {
        kill.now()
        throw (await ended).error ?? error // a program that cannot be started has no output to read
      }
      const end = await ended
      if (end.error !== undefined) throw end.error
      signal.throwIfAborted()
      if (end.code !== 0)
        throw new WorkError(
          `${program} ended with ${end.code === null ? `signal ${end.signal}` : `exit code ${end.code}`}`,
          { detail: stderr.trim() },
        )
    } finally {
      signal.removeEventListener('abort', kill.now)
      kill.now()
      await ended
    }
  }

  return {
    work: run,
    async check() {
      const candidates =
        isAbsolute(program) || /[\\/]/.test(program)
          ? [program]
          : (env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, program))
      const found = await Promise.all(
        candidates.map((file) =>
          access(file, constants.X_OK).then(
            () => true,
            () => false,
          ),
        ),
      )
      if (!found.includes(true)) throw new BackendDown(`${program}: there is no such program, or it cannot be run`)
    },
  }
}

interface End {
  code: number | null
  signal: NodeJS.Signals | null
  error?: Error
}

/** Resolves when the program has ended and its output is closed, or when it could not be started. */
function endOf(child: ChildProcess): Promise<End> {
  return new Promise((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
    child.once('error', (error) => {
      if (child.pid !== undefined) return // a signal could not be sent; 'close' follows
      const code = 'code' in error ? String(error.code) : ''
      const text = `${child.spawnfile} cannot be started (${code || error.message})`
      resolve({
        code: null,
        signal: null,
        error:
          code === 'ENOENT' || code === 'EACCES'
            ? new BackendDown(text, { cause: error })
            : new WorkError(text, { cause: error }),
      })
    })
  })
}

/** Sends a signal to a program and everything it started. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    if (process.platform === 'win32') child.kill(signal)
    else process.kill(-child.pid, signal)
  } catch (error) {
    // ESRCH: the group has ended. macOS says EPERM for a group of which only zombies are left.
    if (!(error instanceof Error && 'code' in error && (error.code === 'ESRCH' || error.code === 'EPERM'))) throw error
  }
}

/** Ends a program and everything it started: SIGTERM, and SIGKILL to what is left after `seconds`. */
function killer(child: ChildProcess, seconds: number) {
  let cancel: (() => void) | null = null
  const send = (signal: NodeJS.Signals): void => signalGroup(child, signal)
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null
  const killLater = (): void => {
    cancel ??= after(seconds * 1000, () => {
      send('SIGKILL')
      // What has left the group may still hold these open; nobody waits for it.
      cancel = after(CLOSE_TIMEOUT_MS, () => {
        child.stdout?.destroy()
        child.stderr?.destroy()
      })
    })
  }
  child.once('close', () => cancel?.())
  return {
    now(): void {
      if (child.pid === undefined || isOver()) return
      send('SIGTERM')
      killLater()
    },
    /** The program itself has ended; what it started may hold its output open. */
    leftovers: killLater,
  }
}
