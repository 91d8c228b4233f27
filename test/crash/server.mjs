import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const SERVE = fileURLToPath(new URL('serve.mjs', import.meta.url))

/**
 * Serving processes, one after the other, on one database. The next one is always loaded already, so that a restart takes
 * as long as opening the database does.
 */
export function createServer(settings) {
  const prepare = () => {
    const child = fork(SERVE, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] })
    const server = {
      child,
      errors: '',
      url: null,
      exit: once(child, 'exit').then(([code, signal]) => ({ code, signal })),
    }
    child.stderr.on('data', (data) => (server.errors += data))
    child.on('error', () => undefined) // a message to one that is gone: 'exit' follows
    return server
  }
  let spare = prepare()
  let current = null

  return {
    /** Starts the next one. `kill`: `{ point, nth }`, or null. */
    start(kill) {
      const server = spare
      spare = prepare()
      current = server
      server.child.once('message', ({ url }) => (server.url = url))
      void server.exit.then(() => (server.url = null))
      server.child.send({ settings, kill })
      return server
    },
    /** Where one listens now; waits for it. Null when `signal` ends the waiting. */
    async up(signal) {
      while (!signal.aborted) {
        if (current?.url != null) return current.url
        await sleep(3)
      }
      return null
    },
    async end() {
      for (const { child, exit } of [spare, current]) {
        child.kill('SIGKILL')
        await exit
      }
    },
  }
}
