// Processes that put load on the service, and the calls to them.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const running = new Set()
/** Kills `child` when this process ends, whatever the reason. */
export function killAtExit(child) {
  running.add(child)
  child.once('exit', () => running.delete(child))
}
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')))
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
])
  process.once(signal, () => process.exit(code))

/** SIGTERM, SIGKILL after `ms`; resolves when the child has ended. */
export async function endChild(child, ms) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const waiting = new AbortController()
  void sleep(ms, undefined, { signal: waiting.signal }).then(
    () => child.kill('SIGKILL'),
    () => {},
  )
  await ended
  waiting.abort()
}

/** `promise`, or an error once `ms` are over. */
export async function within(ms, what, promise) {
  const waiting = new AbortController()
  const late = sleep(ms, undefined, { signal: waiting.signal }).then(
    () => Promise.reject(new Error(`${what}: not done within ${ms / 1000} s`)),
    () => {},
  )
  try {
    return await Promise.race([promise, late])
  } finally {
    waiting.abort()
  }
}

/**
 * A process of its own that runs `file` (a URL), which offers calls by `serveCalls`.
 * `call(name, argument, ms)` rejects with the error of the other side, when it ends, and after `ms`.
 */
export function startChild(file, { env = {}, execArgv = [] } = {}) {
  const child = fork(fileURLToPath(file), [], { env: { ...process.env, ...env }, execArgv, serialization: 'advanced' })
  killAtExit(child)
  const waiting = new Map()
  let last = 0
  child.on('message', ({ id, value, error }) => {
    const call = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) call?.resolve(value)
    else call?.reject(new Error(error))
  })
  child.once('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`the load process ended by itself (${signal ?? code})`))
    waiting.clear()
  })
  return {
    pid: child.pid,
    call(name, argument, ms = 60_000) {
      const id = ++last
      const answer = new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject })
        child.send({ id, name, argument }, (error) => error && reject(error))
      })
      return within(ms, `${name} in process ${child.pid}`, answer).finally(() => waiting.delete(id))
    },
    stop: () => endChild(child, 2000),
  }
}

/** In the process that `startChild` started: answers its calls. */
export function serveCalls(calls) {
  process.on('message', ({ id, name, argument }) => {
    Promise.resolve()
      .then(() => calls[name](argument))
      .then(
        (value) => process.send({ id, value }),
        (error) => process.send({ id, error: error?.stack ?? String(error) }),
      )
  })
  process.once('disconnect', () => process.exit(0))
}
