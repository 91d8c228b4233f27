import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { until } from '../support/wait.js'

interface Proxy {
  port: number
  connections(): number
  cut(direction?: 'both' | 'to target' | 'from target'): void
  delay(ms: number): void
  eat(): void
  closeAll(): void
  heal(): void
  close(): Promise<void>
}
const { createProxy } = (await import(new URL('proxy.mjs', import.meta.url).href)) as {
  createProxy: (targetPort: number) => Promise<Proxy>
}

/** A server that repeats what it is told in capitals, and one connection to it through a proxy. */
async function start() {
  const heard: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (data: Buffer) => {
      heard.push(data.toString())
      socket.write(data.toString().toUpperCase())
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await createProxy((server.address() as AddressInfo).port)
  onTestFinished(async () => {
    await proxy.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const dial = () => {
    const socket = connect(proxy.port, '127.0.0.1')
    const one = { socket, said: '', closed: false }
    socket.on('data', (data: Buffer) => (one.said += data.toString()))
    socket.on('close', () => (one.closed = true))
    socket.on('error', () => undefined)
    onTestFinished(() => void socket.destroy())
    return one
  }
  const client = dial()
  client.socket.write('a')
  await until(() => client.said === 'A', 'the first answer')
  return { proxy, heard, client, dial, sockets }
}

test('without a fault every byte passes, in both directions, and the end of one side is the end of the other', async () => {
  const { proxy, client, sockets } = await start()
  const long = 'x'.repeat(3_000_000)
  client.socket.write(long)
  await until(() => client.said.length === long.length + 1, 'the long answer')
  for (const socket of sockets) socket.end()
  await until(() => client.closed, 'the end')
  expect(proxy.connections()).toBe(0)
})

test('what was sent during a cut arrives when it is healed, on the same connection', async () => {
  const { proxy, heard, client, dial } = await start()
  proxy.cut()
  client.socket.write('b')
  const other = dial()
  other.socket.write('o')
  await until(() => proxy.connections() === 2, 'the second connection')
  // What passes at all takes less than the round trip of a connection that is made after it.
  const { client: witness } = await start()
  witness.socket.write('w')
  await until(() => witness.said === 'AW', 'the witness')
  expect([heard, client.said, other.said]).toEqual([['a'], 'A', ''])
  proxy.heal()
  await until(() => client.said === 'AB' && other.said === 'O', 'what was held back')
})

test('a cut of one direction lets the other pass: the target hears, and its answer comes with the healing', async () => {
  const { proxy, heard, client } = await start()
  proxy.cut('from target')
  client.socket.write('b')
  await until(() => heard.join('') === 'ab', 'the target hears it')
  expect(client.said).toBe('A')
  proxy.heal()
  await until(() => client.said === 'AB', 'the answer')
  proxy.cut('to target')
  client.socket.write('c')
  proxy.heal()
  await until(() => client.said === 'ABC', 'the answer to what was held back')
})

test('the end of a connection does not pass a cut either', async () => {
  const { proxy, client, sockets } = await start()
  proxy.cut()
  for (const socket of sockets) socket.destroy()
  const { client: witness } = await start()
  witness.socket.write('w')
  await until(() => witness.said === 'AW', 'the witness')
  expect(client.closed).toBe(false)
  proxy.heal()
  await until(() => client.closed, 'the end')
})

test('delayed bytes arrive as much later, in order', async () => {
  const { proxy, client } = await start()
  proxy.delay(60)
  const before = performance.now()
  client.socket.write('b')
  await until(() => client.said === 'AB', 'the answer')
  expect(performance.now() - before).toBeGreaterThan(110) // a timer may be a little early
  for (const letter of 'cdefg') client.socket.write(letter)
  await until(() => client.said === 'ABCDEFG', 'the answers')
})

test('eaten answers were asked for and never come; the healed link closes the connection that lacks them', async () => {
  const { proxy, heard, client, dial } = await start()
  proxy.eat()
  client.socket.write('b')
  await until(() => heard.join('') === 'ab', 'the target hears it')
  proxy.heal()
  await until(() => client.closed, 'the end of the maimed connection')
  expect(client.said).toBe('A')
  const next = dial()
  next.socket.write('n')
  await until(() => next.said === 'N', 'the next connection')
})

test('all connections are closed at once, and new ones pass', async () => {
  const { proxy, client, dial } = await start()
  proxy.closeAll()
  await until(() => client.closed, 'the end')
  const next = dial()
  next.socket.write('n')
  await until(() => next.said === 'N', 'the next connection')
})
