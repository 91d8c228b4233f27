import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'

/** Whatever is started here ends with this process, however that ends. */
const running = new Set()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(130))

/**
 * A program that is started, killed, paused and started again. All that it says goes into its log.
 * @param program `{ name, command, args, cwd, log }`
 */
export function createProcess({ name, command, args, cwd, log }) {
  let child = null
  let exited = Promise.resolve()
  let paused = false
  let expected = true
  return {
    name,
    /** Whether it runs now; a paused one does. */
    alive: () => child !== null && child.exitCode === null && child.signalCode === null,
    paused: () => paused,
    /** Whether it has ended although nobody has killed it. */
    fell() {
      return child !== null && !expected && (child.exitCode !== null || child.signalCode !== null)
    },
    start() {
      const out = openSync(log, 'a')
      const one = spawn(command, args, { cwd, stdio: ['ignore', out, out] })
      closeSync(out)
      child = one
      paused = false
      expected = false
      running.add(one)
      one.on('error', () => undefined) // 'exit' does not follow, and it is not alive
      exited = once(one, 'exit').then(
        () => running.delete(one),
        () => running.delete(one),
      )
    },
    async kill() {
      expected = true
      paused = false
      child?.kill('SIGKILL')
      await exited
    },
    /** Asks it to end in order; kills it when it has not within so many ms. @returns its exit code, null when it was killed */
    async stop(patience) {
      expected = true
      if (paused) child?.kill('SIGCONT')
      child?.kill('SIGTERM')
      const late = setTimeout(() => child?.kill('SIGKILL'), patience)
      await exited
      clearTimeout(late)
      return child?.exitCode ?? null
    },
    pause() {
      paused = child?.kill('SIGSTOP') === true
    },
    resume() {
      if (paused) child?.kill('SIGCONT')
      paused = false
    },
    /** The last lines of its log. */
    tail(lines = 8) {
      try {
        return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
      } catch {
        return '(it has said nothing)'
      }
    },
  }
}

/** Runs a program to its end. @returns `{ code, out }`; code null: it was killed after `patience`, ms */
export async function runToEnd(command, args, { cwd, patience }) {
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  let out = ''
  child.stdout.on('data', (data) => (out += data))
  child.stderr.on('data', (data) => (out += data))
  const late = setTimeout(() => child.kill('SIGKILL'), patience)
  const [code] = await once(child, 'close')
  clearTimeout(late)
  running.delete(child)
  return { code, out }
}
