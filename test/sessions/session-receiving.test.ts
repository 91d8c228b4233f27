import { expect, test } from 'vitest'
import { createBudget } from '../../src/lib/budget.js'
import { fakeTime, fakeTimers } from '../support/fake-time.js'
import { clientFrame } from '../support/frames.js'
import { challenged, connectNode, hello } from '../support/node-session.js'
import { rawSession } from '../support/raw-session.js'
import { startService } from '../support/service.js'
import { sessionDoor } from '../support/session-door.js'
import { until } from '../support/wait.js'

const MIB = 1024 * 1024
const PATH = '/api/v1/tasks/connect'
/** A heartbeat as text of exactly so many bytes. */
const heartbeat = (bytes: number): string => {
  const text = JSON.stringify({ type: 'node.heartbeat', more: '' })
  return text.replace('""', `"${'x'.repeat(bytes - text.length)}"`)
}

test('a message of exactly max_message_bytes is taken, in however many chunks it comes', async () => {
  const node = await connectNode(await startService(), 'n')
  node.socket.send(heartbeat(4 * MIB))
  await node.next('node.heartbeat_ack')
  const text = heartbeat(4 * MIB)
  for (let at = 0; at < text.length; at += MIB)
    node.socket.send(text.slice(at, at + MIB), { fin: at + MIB === text.length })
  await node.next('node.heartbeat_ack')
})

test('a hello may have the largest message right behind it, before it is verified', async () => {
  const service = await startService()
  const older = await connectNode(service, 'n')
  older.socket.pause() // so that the newcomer has to wait
  const { node, challenge } = await challenged(service)
  node.say(hello(service, 'n', challenge.nonce))
  node.socket.send(heartbeat(4 * MIB))
  await node.next('session.welcome')
  await node.next('node.heartbeat_ack')
})

test('who ends message after message is not late, wherever his chunks end', async () => {
  const time = fakeTime()
  const timers = fakeTimers('setInterval', 'clearInterval')
  const { host } = await sessionDoor({ time })
  const raw = await rawSession(host, PATH)
  const whole = raw.frame('{}')
  raw.socket.write(whole.subarray(0, 4))
  for (let i = 0; i < 5; i++) {
    raw.socket.write(Buffer.concat([whole.subarray(4), raw.frame('{}'), whole.subarray(0, 4)]))
    // Answered to each message that does not fit: so it has come.
    await until(() => raw.errors() === 2 * (i + 1), 'the answers')
    time.jump(20)
    timers.jump(2)
  }
  expect(raw.closeCode()).toBeNull()
})

test('what small pieces keep in memory is counted, not what they hold', async () => {
  const receiving = createBudget({ address: 4 * MIB, service: 64 * MIB })
  const { host } = await sessionDoor({ receiving })
  const [other, raw] = [await rawSession(host, PATH), await rawSession(host, PATH)]
  other.socket.write(other.frame('{}').subarray(0, 4))
  const pongs = Buffer.concat(Array.from({ length: 480 }, () => clientFrame(0x0a, Buffer.alloc(125))))
  for (let i = 0; i < 200 && raw.closeCode() === null; i++) {
    raw.socket.write(Buffer.concat([clientFrame(i === 0 ? 1 : 0, Buffer.from('x'), false), pongs]))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => raw.closeCode() !== null, 'a close frame')
  expect(raw.closeCode()).toBe(4429)
  // What was received is there until the socket is gone, and so it is counted until then.
  expect(receiving.total()).toBeGreaterThan(3 * MIB)
  raw.socket.destroy()
  await until(() => receiving.total() < 1000, 'its end')
})

test('the largest message fits beside nothing, however short its chunks are', async () => {
  const { host } = await sessionDoor({
    receiving: createBudget({ address: 64 * 1024, service: 64 * 1024 }),
    maxMessageBytes: 64 * 1024,
  })
  const raw = await rawSession(host, PATH)
  raw.socket.setNoDelay(true)
  const frame = raw.frame(JSON.stringify({ more: 'x'.repeat(64 * 1024 - 11) }))
  for (let at = 0; at < frame.length; at += 1000) {
    raw.socket.write(frame.subarray(at, at + 1000))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => raw.errors() === 1, 'the answer')
  expect(raw.closeCode()).toBeNull()
})

/** A first frame that is counted: a hello with much besides. */
const largeHello = (host: string, id: string, nonce: string) =>
  hello({ host }, id, nonce, { more: 'x'.repeat(200 * 1024) })

test('a large first frame counts as being received until its handshake is over: when the node is let in, or gone', async () => {
  const receiving = createBudget({ address: 4 * MIB, service: 4 * MIB })
  const { host, said } = await sessionDoor({ receiving })
  const older = await challenged({ host }, { autoPong: false })
  older.node.say(largeHello(host, 'n', older.challenge.nonce))
  await until(() => said.length === 1, 'the first hello')
  await until(() => receiving.total() === 0, 'its end')
  const timers = fakeTimers()
  /** It waits until the older session was asked whether it is alive. */
  const comes = async () => {
    const { node, challenge } = await challenged({ host })
    node.say(largeHello(host, 'n', challenge.nonce))
    await until(() => receiving.total() > 200 * 1024, 'its hello')
    return node
  }
  const gone = await comes()
  gone.socket.terminate()
  await until(() => receiving.total() === 0, 'its end')
  await comes()
  timers.jump(2)
  await until(() => said.filter((o) => o.op === 'nodeHello').length === 2, 'the second hello')
  await until(() => receiving.total() === 0, 'the end of its handshake')
})

test('no first frame is read in a turn of the event loop that has had enough of them', async () => {
  const log: string[] = []
  const { host } = await sessionDoor({
    send(o) {
      if (o.op !== 'nodeHello') return
      log.push(o.hello.node_id)
      if (log.length > 1) return
      setImmediate(() => log.push('the next turn'))
      for (const end = performance.now() + 50; performance.now() < end;);
    },
  })
  const [a, b] = [await challenged({ host }), await challenged({ host })]
  a.node.say(hello({ host }, 'a', a.challenge.nonce))
  b.node.say(hello({ host }, 'b', b.challenge.nonce))
  await until(() => log.length === 3, 'both')
  expect(log[1]).toBe('the next turn')
})
