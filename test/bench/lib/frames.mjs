/** The most messages of one frame. */
const MOST = 256

/** Collects what one turn of the event loop sends over a socket, and sends it as one frame. */
export function createFrames(socket) {
  let waiting = []
  const flush = () => {
    const list = waiting
    waiting = []
    if (socket.readyState !== 1) return
    for (let i = 0; i < list.length; i += MOST) {
      const part = i === 0 && list.length <= MOST ? list : list.slice(i, i + MOST)
      socket.send(part.length === 1 ? part[0] : `[${part.join(',')}]`)
    }
  }
  return (message) => {
    if (waiting.push(JSON.stringify(message)) === 1) setImmediate(flush)
  }
}

/** The messages of one frame. */
export function messagesOf(frame) {
  const value = JSON.parse(frame.toString())
  return Array.isArray(value) ? value : [value]
}
