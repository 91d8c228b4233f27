import { connect } from 'node:net'
import { startServer } from './servers.mjs'
import { bodyOf } from '../lib/tasks.mjs'

export const title = 'beanstalkd'
export const durability = 'binlog, -f0: fsync before every put and delete is answered; a reservation is not written'
export const ways = { single: { title: 'single', bulk: 1, inFlight: 100 } }
export const idleWays = ['single']
const CONNECTIONS = 10

export async function start({ slowDisk }) {
  const server = await startServer({
    name: 'beanstalkd',
    install: 'apt-get install beanstalkd',
    slowDisk,
    args: (port, folder) => ['-l', '127.0.0.1', '-p', String(port), '-b', folder, '-f0'],
  })
  return { address: server.port, cpu: server.cpu, stop: server.stop }
}

/** A connection; answers come in the order of the commands. */
function open(port) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const waiting = []
  let rest = Buffer.alloc(0)
  let closing = false
  socket.on('error', (error) => {
    if (!closing) throw error
  })
  socket.on('data', (part) => {
    rest = rest.length === 0 ? part : Buffer.concat([rest, part])
    for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
      const [word, id, size] = rest.toString('latin1', 0, end).split(' ')
      let after = end + 2
      let body
      if (word === 'RESERVED') {
        after += Number(size) + 2
        if (rest.length < after) return
        body = rest.toString('utf8', end + 2, after - 2)
      }
      rest = rest.subarray(after)
      waiting.shift()({ word, id, body })
    }
  })
  return {
    /** Sends a command; throws when the answer does not begin with `expected`. */
    ask: (text, expected) =>
      new Promise((done, fail) => {
        waiting.push((answer) =>
          answer.word === expected
            ? done(answer)
            : fail(new Error(`beanstalkd answered ${answer.word}, not ${expected}`)),
        )
        socket.write(text)
      }),
    close() {
      closing = true
      socket.destroy()
    },
  }
}

export async function connectSubmitter(port, { run }) {
  const connections = Array.from({ length: CONNECTIONS }, () => open(port))
  for (const c of connections) await c.ask(`use ${run}\r\n`, 'USING')
  let next = 0
  const submit = (number) => {
    const body = bodyOf(number)
    return connections[next++ % CONNECTIONS].ask(`put 1024 0 60 ${Buffer.byteLength(body)}\r\n${body}\r\n`, 'INSERTED')
  }
  return { submit, close: () => connections.forEach((c) => c.close()) }
}

export async function connectNodes(port, { run, count, slots, onTask, onSettled }) {
  const connections = Array.from({ length: count * slots }, () => open(port))
  for (const c of connections) await c.ask(`watch ${run}\r\n`, 'WATCHING')
  const serve = async (c) => {
    for (let next = c.ask('reserve\r\n', 'RESERVED'); ;) {
      const { id, body } = await next
      const number = Number(body.slice(0, body.indexOf(':')))
      if (body !== bodyOf(number)) throw new Error('another body')
      onTask(number)
      const deleted = c.ask(`delete ${id}\r\n`, 'DELETED')
      next = c.ask('reserve\r\n', 'RESERVED')
      await deleted
      onSettled(number)
    }
  }
  connections.forEach((c) => void serve(c))
  return { close: () => connections.forEach((c) => c.close()) }
}
