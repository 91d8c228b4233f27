import { createRest } from '../rest.mjs'
import { TASKS } from './paths.mjs'
import { frameOf, inLines, keepOpen } from './reach.mjs'

/** Attacks by answers that are much larger than their questions. */
export const readAttacks = {
  'pipelined-reads': {
    what: 'two connections with 400 requests each for a result of 3 MiB, and no reader',
    run: (world) =>
      keepOpen(world, {
        most: 2,
        every: 500,
        lasts: 15_000,
        open() {
          const socket = world.dial()
          socket.write(`GET /api/v1/tasks/${world.large}/status HTTP/1.1\r\nHost: ${world.host}\r\n\r\n`.repeat(400))
          return world.readStatus(socket, { once: true })
        },
      }),
  },
  'watch-storms': {
    what: 'twelve sessions that watch a result of 3 MiB 256 times in one frame, and do not read',
    run(world) {
      const watch = JSON.stringify({ type: 'task.watch', task_id: world.large, watch: 'result' })
      const storm = frameOf(Buffer.from(`[${Array.from({ length: 256 }, () => watch).join(',')}]`))
      return keepOpen(world, {
        most: 12,
        every: 200,
        lasts: 15_000,
        open() {
          const socket = world.upgrade(TASKS)
          socket.write(storm)
          return world.readStatus(socket, { once: true })
        },
      })
    },
  },
  lists: {
    what: 'the lists of tasks and nodes, the statistics, and one in twenty times a result of 3 MiB, eight at once as fast as they are answered',
    run(world) {
      const rest = createRest(world.url, world.from, { connections: 8, keep: false, patience: 10_000 })
      const paths = ['/api/v1/nodes', '/api/v1/tasks?limit=1000', '/api/v1/tasks?limit=100', '/api/v1/stats', '/health']
      return inLines(world, {
        lines: 8,
        rest: 0,
        async once() {
          const { random, note, large } = world
          const path = random.chance(0.05) ? `/api/v1/tasks/${large}/status` : random.pick(paths)
          const { status, code } = await rest('GET', path)
          note(status === 0 ? code : `answer ${status}`)
        },
      })
    },
  },
}
