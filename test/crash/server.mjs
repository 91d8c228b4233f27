import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const SLOW_SYNC = new URL('../support/slow-sync.mjs', import.meta.url).href
const SERVE = fileURLToPath(new URL('serve.mjs', import.meta.url))

/** The limits of time as short as a proof wants them, and a free port. */
export const quickSettings = {
  api_port: 0,
  heartbeat_interval: 3,
  accept_timeout: 5,
  reconnect_grace: 5,
  restart_grace: 5,
  node_timeout: 10,
  shutdown_timeout: 2,
}

/**
 * Serving processes, one after the other, on one database. The next one is always loaded already, so that a restart takes
 * as long as opening the database does.
 * @param paid `{ signer, chain }` of one that looks at the chain
 * @param slow ms that every sync of the log takes longer
 */
export function createServer(settings, paid = {}, slow = 0) {
  const prepare = () => {
    const child = fork(SERVE, {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      execArgv: slow > 0 ? ['--import', SLOW_SYNC] : [],
      env: { ...process.env, SLOW_SYNC_MS: String(slow) },
    })
    const server = {
      child,
      errors: '',
      url: null,
      /** Where blocks are announced; null where they are not. */
      observer: null,
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
      server.child.once('message', ({ url, observer }) => Object.assign(server, { url, observer }))
      void server.exit.then(() => Object.assign(server, { url: null, observer: null }))
      server.child.send({ settings, paid, kill })
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
    /** Where blocks are announced now; null where nobody listens. */
    observer: () => current?.observer ?? null,
    async end() {
      for (const { child, exit } of [spare, current]) {
        child.kill('SIGKILL')
        await exit
      }
    },
  }
}
