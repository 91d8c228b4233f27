import { setTimeout as sleep } from 'node:timers/promises'
import { createIdentity } from '../../fuzz/honest.mjs'
import { openNodeSession } from '../node-session.mjs'
import { createRest } from '../rest.mjs'
import { NODES } from './paths.mjs'
import { closedWithin, frameOf, inLines } from './reach.mjs'

/** The most messages of one frame. */
const MOST = 256
/** A little less than a session may send in a second. */
const MESSAGES_A_SECOND = 19_000

const held = (n) => Array.from({ length: n }, (_, i) => ({ task_id: `t-${i}`, attempt: 1 }))

/** Has a session of a node of its own again and again; `speak(session)` until it is closed. */
async function proven(world, id, speak) {
  const identity = createIdentity()
  const { url, from, note } = world
  for (; ; await sleep(500)) {
    note('begun')
    let closed = false
    try {
      const session = await openNodeSession({
        url,
        from,
        id,
        identity,
        models: ['hostile-model'],
        onClose(code) {
          note(`closed ${code}`)
          closed = true
        },
        heard: { error: ({ code }) => note(`error ${code}`) },
      })
      note('welcomed')
      while (!closed) await speak(session)
    } catch (error) {
      note(error.message)
    }
  }
}

/** Attacks by nodes: such as are not what they say, and such as are. */
export const nodeAttacks = {
  registrations: {
    what: 'new nodes of 9 KB each over REST, 200 a second',
    run(world) {
      const rest = createRest(world.url, world.from, { connections: 4, keep: false, patience: 10_000 })
      const identity = createIdentity()
      let n = 0
      return inLines(world, {
        lines: 4,
        rest: 20,
        async once() {
          const { status, code } = await rest('POST', '/api/v1/nodes/register', {
            node_id: `hostile-${world.random.below(2 ** 31)}-${n++}`,
            endpoint: `http://192.0.2.1/${'x'.repeat(world.random.chance(0.5) ? 200 : 2000)}`,
            public_key: identity.publicKey,
            supported_models: Array.from({ length: 64 }, (_, i) => `hostile-${i}-`.padEnd(110, 'x')),
          })
          world.note(status === 0 ? code : `answer ${status}`)
        },
      })
    },
  },
  'wrong-hellos': {
    what: 'hellos with a wrong signature, most with 65,536 attempts in `running`, in four lines',
    run(world) {
      const { publicKey } = createIdentity()
      const hello = (running) =>
        frameOf(
          Buffer.from(
            JSON.stringify({
              type: 'session.hello',
              node_id: 'honest-1',
              public_key: publicKey,
              signature: '5a'.repeat(64),
              supported_models: ['llama-3-8b'],
              running: held(running),
            }),
          ),
        )
      const forms = [0, 65_536, 100_000].map(hello)
      return inLines(world, {
        lines: 4,
        rest: 200,
        async once() {
          const socket = world.readStatus(world.upgrade(NODES))
          socket.write(world.random.pick(forms))
          await closedWithin(socket, 10_000)
        },
      })
    },
  },
  'proven-heartbeats': {
    what: 'a proven node whose heartbeats name up to 400,000 tasks in `running`, 20 a second',
    run: (world) =>
      proven(world, 'hostile-beats', async ({ say }) => {
        const many = world.random.pick([1024, 65_536, 400_000])
        say({ type: 'node.heartbeat', running: Array.from({ length: many }, (_, i) => `t${i}`) })
        await sleep(50)
      }),
  },
  'proven-garbage': {
    what: 'a proven node that sends messages about tasks of others, 19,000 a second',
    run: (world) =>
      proven(world, 'hostile-garbage', async ({ say, socket }) => {
        const { random } = world
        const message = () => {
          const named = { task_id: `h-${random.below(1000)}`, attempt: 1 + random.below(3) }
          const type = random.pick(['task.accept', 'task.output', 'task.complete', 'task.fail', 'node.heartbeat'])
          const more = {
            'task.output': { seq: 0, delta: 'x' },
            'task.complete': { output: 'garbage', confidence: 1 },
            'task.fail': { error: 'x', retryable: true },
          }
          return type === 'node.heartbeat' ? { type } : { type, ...named, ...more[type] }
        }
        // No more than the other side takes: what waits here is no load on the service.
        if (socket.bufferedAmount < 1024 * 1024) say(Array.from({ length: MOST }, message))
        await sleep((MOST / MESSAGES_A_SECOND) * 1000)
      }),
  },
}
