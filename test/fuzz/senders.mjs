import { once } from 'node:events'
import { connect } from 'node:net'
import { Pool } from 'undici'
import { WebSocket } from 'ws'
import { frame, rawHttp, request } from './inputs.mjs'

/** How long an answer may take, ms: generous, the machine is shared. */
const PATIENCE_MS = 30_000
/** Frames of one socket before another takes its place; sessions are closed for mistakes long before. */
const FRAMES_A_SOCKET = 200

/** Sends `n` requests. @returns what was wrong with the answers */
export async function sendRequests({ url, random, n, maxBytes, counts }) {
  const pool = new Pool(url, { connections: 4, pipelining: 1, headersTimeout: PATIENCE_MS, bodyTimeout: PATIENCE_MS })
  const wrong = []
  const one = async () => {
    const { method, path, headers, body, refused } = request(random, maxBytes)
    try {
      const answer = await pool.request({
        method,
        path,
        headers,
        body: method === 'GET' || method === 'HEAD' ? null : (body ?? null),
      })
      const text = await answer.body.text()
      counts.http++
      counts[answer.statusCode] = (counts[answer.statusCode] ?? 0) + 1
      if (answer.statusCode >= 500) wrong.push(`${method} ${path}: ${answer.statusCode} ${text.slice(0, 200)}`)
      if (refused && answer.statusCode < 400) wrong.push(`${method} ${path} was taken: ${String(body).slice(0, 200)}`)
      if (answer.statusCode >= 400 && text !== '' && JSON.parse(text).success !== false)
        wrong.push(`${method} ${path}: a refusal out of the envelope: ${text.slice(0, 200)}`)
    } catch (error) {
      counts.http++
      // A refused body ends its connection; a path that is no HTTP is refused by the client itself.
      if (!['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'UND_ERR_INVALID_ARG'].includes(error.code))
        wrong.push(`${method} ${path}: ${error.code ?? error.message}`)
    }
  }
  let left = n
  const line = async () => {
    while (left-- > 0) await one()
  }
  await Promise.all([line(), line(), line(), line()])
  await pool.destroy()
  return wrong
}

/** Sends `n` raw texts, each on a connection of its own. */
export async function sendRaw({ url, random, n, counts }) {
  const { hostname, port } = new URL(url)
  for (let i = 0; i < n; i++) {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    socket.resume()
    const closed = once(socket, 'close')
    socket.end(rawHttp(random))
    const late = setTimeout(() => socket.destroy(), 200) // what waits for more is cut off
    await closed
    clearTimeout(late)
    counts.raw++
  }
}

/**
 * Sends `n` frames over sockets of one kind, socket after socket.
 * @param open gives a socket that is ready for frames
 */
export async function sendFrames({ kind, open, random, n, maxBytes, counts }) {
  for (let left = n; left > 0;) {
    const socket = await open()
    socket.on('error', () => undefined)
    let closed = false
    const end = once(socket, 'close').then(() => (closed = true))
    let answered = 0
    socket.on('message', () => answered++)
    for (let i = 0; i < FRAMES_A_SOCKET && left > 0 && !closed; i++) {
      const data = frame(random, kind, maxBytes)
      socket.send(data, () => undefined)
      left--
      counts[kind]++
      if (socket.bufferedAmount > 256 * 1024 || i % 20 === 19) await new Promise((resolve) => setImmediate(resolve))
    }
    socket.close(1000)
    const late = setTimeout(() => socket.terminate(), 1000)
    await end
    clearTimeout(late)
    counts.answered += answered
  }
}

/** A socket to the sessions of nodes or submitters, open. */
export async function openSocket(url, kind) {
  const path = kind === 'client' ? 'tasks' : 'nodes'
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/v1/${path}/connect`, [], { perMessageDeflate: false })
  await once(socket, 'open')
  return socket
}
