import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** What becomes of WebSockets on their way: they get through, are refused, or nothing ever comes back. */
type WebSockets = 'through' | 'refused' | 'swallowed'

/** An address that stays: it leads to the service of the moment, or nowhere, as a proxy before it does. */
export async function startFront(service: { url: string } | null = null) {
  let target: number | null = null
  let webSockets: WebSockets = 'through'
  let upgrades = 0
  const open = new Set<Socket>()
  const leadTo = (next: { url: string } | null): void => {
    target = next === null ? null : Number(new URL(next.url).port)
  }
  leadTo(service)

  const forward = (socket: Socket, first: Buffer): void => {
    if (/^upgrade: *websocket/im.test(first.toString('latin1'))) {
      upgrades++
      if (webSockets === 'refused') return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
      if (webSockets === 'swallowed') return
    }
    if (target === null) return void socket.destroy()
    const onward = connect(target, '127.0.0.1')
    onward.on('error', () => undefined)
    onward.write(first)
    socket.on('close', () => onward.destroy()).pipe(onward)
    onward.on('close', () => socket.destroy()).pipe(socket)
  }
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => open.delete(socket))
    socket.once('data', (first: Buffer) => {
      socket.pause()
      forward(socket, first)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    for (const socket of open) socket.destroy()
  }
  onTestFinished(() => {
    server.close()
    cut()
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    leadTo,
    /** Cuts every connection that is open. */
    cut,
    webSockets: (what: WebSockets): void => void (webSockets = what),
    /** How many WebSockets were asked for. */
    upgrades: () => upgrades,
    /** How many connections are open. */
    connections: () => open.size,
  }
}

/** An address where nothing listens. */
export async function closedUrl(): Promise<string> {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  holder.close()
  await once(holder, 'close')
  return `http://127.0.0.1:${port}`
}
