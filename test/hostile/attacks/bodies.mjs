import { HEAVY, heavy } from '../../fuzz/inputs.mjs'
import { createRest } from '../rest.mjs'
import { NODES, TASKS } from './paths.mjs'
import { closedWithin, frameOf, inLines, keepOpen } from './reach.mjs'

const MIB = 1024 * 1024
const BODY_PATHS = ['/api/v1/tasks/submit', '/api/v1/tasks/batch', '/api/v1/tasks/complete', '/api/v1/nodes/register']

/** Texts that cost most to parse, made once for each kind and size. */
const made = new Map()
const heavyBytes = (kind, bytes) => {
  const name = `${kind} ${bytes}`
  if (!made.has(name)) made.set(name, Buffer.from(heavy(kind, bytes)))
  return made.get(name)
}

/** Attacks by what is in a body or frame, and by what is missing of it. */
export const bodyAttacks = {
  'heavy-bodies': {
    what: 'bodies of up to 16 MiB, deep, of many values, of many keys, in four lines',
    run(world) {
      const rest = createRest(world.url, world.from, { keep: false, patience: 10_000 })
      return inLines(world, {
        lines: 4,
        rest: 50,
        async once() {
          const { random, note } = world
          const bytes = random.pick([MIB, 4 * MIB, 16 * MIB - 1024])
          const { status, code } = await rest('POST', random.pick(BODY_PATHS), heavyBytes(random.pick(HEAVY), bytes))
          note(status === 0 ? code : `answer ${status}`)
        },
      })
    },
  },
  'heavy-frames': {
    what: 'frames of up to 4 MiB of the same kinds, to sessions of both kinds, in two lines',
    run: (world) =>
      inLines(world, {
        lines: 2,
        rest: 200,
        async once(i) {
          const { random } = world
          const socket = world.readStatus(world.upgrade([NODES, TASKS][i]))
          for (let n = 0; n < 12; n++)
            socket.write(frameOf(heavyBytes(random.pick(HEAVY), random.pick([MIB, 4 * MIB - 1024]))))
          await closedWithin(socket, 10_000)
        },
      }),
  },
  'unfinished-bodies': {
    what: '60 bodies that stop after 15 of 16 MiB',
    run: (world) =>
      keepOpen(world, {
        most: 60,
        every: 100,
        open() {
          const socket = world.readStatus(world.dial())
          socket.write(
            `POST ${world.random.pick(BODY_PATHS)} HTTP/1.1\r\nHost: ${world.host}\r\nContent-Type: application/json\r\n` +
              `Content-Length: ${16 * MIB}\r\n\r\n`,
          )
          socket.write(heavyBytes('string', 15 * MIB))
          return socket
        },
      }),
  },
  'unfinished-messages': {
    what: '120 sessions with a message that stops a byte before its 4 MiB are whole, half of them in fragments',
    run(world) {
      let n = 0
      return keepOpen(world, {
        most: 120,
        every: 200,
        open() {
          const socket = world.readStatus(world.upgrade([TASKS, NODES][n++ % 2]))
          const text = heavyBytes('string', 4 * MIB - 64)
          if (n % 4 < 2) socket.write(frameOf(text, { declared: text.length + 1 }))
          else {
            const part = text.subarray(0, MIB - 64)
            socket.write(frameOf(part, { fin: false }))
            for (let i = 0; i < 3; i++) socket.write(frameOf(part, { fin: false, opcode: 0 }))
          }
          return socket
        },
      })
    },
  },
}
