import { setTimeout as sleep } from 'node:timers/promises'
import { NODES, TASKS } from './paths.mjs'
import { closedWithin, inLines, keepOpen } from './reach.mjs'

/** Attacks by the number of connections, most of which say nothing whole. */
export const connectionAttacks = {
  'silent-connections': {
    what: 'up to 2,000 TCP connections that say nothing',
    run: (world) => keepOpen(world, { most: 2000, every: 5, waves: true, open: () => world.dial().resume() }),
  },
  'slow-headers': {
    what: 'up to 300 requests whose headers come a byte at a time',
    async run(world) {
      const open = new Set()
      const begin = () => {
        const socket = world.readStatus(world.dial())
        socket.write(`GET /health HTTP/1.1\r\nHost: ${world.host}\r\nX-Slow: `)
        open.add(socket)
        socket.once('close', () => open.delete(socket))
        return socket
      }
      const drip = async () => {
        for (; ; await sleep(1000)) {
          for (const socket of open) if (!socket.connecting) socket.write('x')
        }
      }
      await Promise.all([drip(), keepOpen(world, { most: 300, every: 20, waves: true, open: begin })])
    },
  },
  'silent-node-handshakes': {
    what: 'up to 1,200 node sessions that say no hello',
    run: (world) =>
      keepOpen(world, { most: 1200, every: 8, waves: true, open: () => world.readStatus(world.upgrade(NODES)) }),
  },
  'silent-client-sessions': {
    what: 'up to 1,000 submitter sessions that say nothing, and answer no ping',
    run: (world) =>
      keepOpen(world, { most: 1000, every: 8, waves: true, open: () => world.readStatus(world.upgrade(TASKS)) }),
  },
  h2c: {
    what: 'requests that ask for an upgrade to h2c, as fast as they are answered',
    run: (world) =>
      inLines(world, {
        lines: 2,
        rest: 20,
        async once() {
          const socket = world.readStatus(world.dial())
          socket.write(
            `GET ${world.random.pick(['/health', '/api/v1/nodes', NODES])} HTTP/1.1\r\nHost: ${world.host}\r\n` +
              'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n',
          )
          socket.once('data', () => socket.end())
          await closedWithin(socket, 5000)
        },
      }),
  },
  'foreign-origins': {
    what: 'requests and upgrades in the name of a foreign web page, as fast as they are answered',
    run: (world) =>
      inLines(world, {
        lines: 2,
        rest: 20,
        async once() {
          const { random, host } = world
          const origin = `Origin: https://evil-${random.below(1000)}.example\r\n`
          const socket = world.readStatus(
            random.chance(0.3) ? world.upgrade(random.pick([NODES, TASKS]), origin) : world.dial(),
          )
          socket.write(
            `${random.pick(['GET', 'POST', 'OPTIONS', 'DELETE'])} ${random.pick(['/api/v1/tasks', '/api/v1/nodes/honest-1', '/health'])} ` +
              `HTTP/1.1\r\nHost: ${host}\r\n${origin}Access-Control-Request-Method: POST\r\nContent-Length: 0\r\n\r\n`,
          )
          socket.once('data', () => socket.end())
          await closedWithin(socket, 5000)
        },
      }),
  },
}
