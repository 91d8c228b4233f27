import { once } from 'node:events'
import { connect } from 'node:net'
import { onTestFinished } from 'vitest'
import { clientFrame } from './frames.js'

const CLOSE = 0x88

/** A session on a bare connection, over which a test may send parts of frames. @param from an address of this machine */
export async function rawSession(host: string, path: string, from = '127.0.0.1') {
  const [name = '', port = ''] = host.split(':')
  const socket = connect({ host: name, port: Number(port), localAddress: from })
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  let received = Buffer.alloc(0)
  socket.on('data', (data) => {
    received = Buffer.concat([received, data])
  })
  await once(socket, 'connect')
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`,
  )
  while (!received.includes('\r\n\r\n')) await once(socket, 'data')
  const begin = received.indexOf('\r\n\r\n') + 4
  const framed = (opcode: number, payload: string): Buffer => clientFrame(opcode, Buffer.from(payload))
  /** How many messages of type error have come. */
  const errors = (): number => received.toString('latin1').split('"type":"error"').length - 1
  /** The code of the close frame that has come; null before. Frames of the server are not masked, and ours are short. */
  const closeCode = (): number | null => {
    for (let at = begin; at + 2 <= received.length;) {
      const length = received[at + 1] ?? 0
      const [head, size] = length === 126 ? [4, received.readUInt16BE(at + 2)] : [2, length]
      if (received[at] === CLOSE) return received.readUInt16BE(at + head)
      at += head + size
    }
    return null
  }
  return {
    socket,
    closeCode,
    errors,
    /** A whole text frame. */
    frame: (text: string) => framed(1, text),
    pong: () => framed(0x0a, ''),
    /** What was written so far has reached the service when this is over: it answers a ping in order, or has closed. */
    async sent(): Promise<void> {
      const before = received.length
      socket.write(framed(9, ''))
      while (received.length === before) await once(socket, 'data')
    },
  }
}
