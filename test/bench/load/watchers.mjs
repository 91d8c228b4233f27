// Those who watch, in a process of their own: readers of the feed, open pages of the dashboard, and a scraper.
import { connect } from 'node:net'
import { serveCalls } from '../lib/children.mjs'

/** What a page asks for again and again, and how often, ms. */
const PAGE = [
  ['/api/v1/overview?window=15m', 5000],
  ['/api/v1/models', 5000],
  ['/api/v1/nodes?limit=50', 5000],
]
const SCRAPE_MS = 1000

const running = new Set()
const timers = new Set()
const seen = { bytes: 0, events: 0, answers: 0, failures: 0 }

/** A reader of the feed. What comes is counted and thrown away: the time of this process is not what is measured. */
function follow(url, path) {
  const { hostname, port, host } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`)
  socket.on('data', (bytes) => {
    seen.bytes += bytes.length
    for (let at = bytes.indexOf('event: '); at >= 0; at = bytes.indexOf('event: ', at + 7)) seen.events++
  })
  socket.on('error', () => seen.failures++)
  socket.on('close', () => running.has(socket) && seen.failures++)
  running.add(socket)
}
function every(ms, work) {
  // Not all at the same moment.
  const first = setTimeout(() => {
    timers.add(setInterval(work, ms))
    work()
  }, Math.random() * ms)
  timers.add(first)
}
const ask = async (url) => {
  try {
    const answer = await fetch(url)
    await answer.arrayBuffer()
    if (answer.status !== 200) throw new Error(`${url}: ${answer.status}`)
    seen.answers++
  } catch {
    seen.failures++
  }
}

serveCalls({
  begin({ url, readers, pages }) {
    for (let i = 0; i < readers - pages; i++) follow(url, '/api/v1/events')
    for (let i = 0; i < pages; i++) {
      follow(url, '/api/v1/events?types=task,node,tick')
      for (const [path, ms] of PAGE) every(ms, () => void ask(url + path))
    }
    every(SCRAPE_MS, () => void ask(`${url}/metrics`))
  },
  end() {
    const sockets = [...running]
    running.clear()
    for (const socket of sockets) socket.destroy()
    for (const timer of timers) {
      clearTimeout(timer)
      clearInterval(timer)
    }
    timers.clear()
    const found = { ...seen }
    for (const key of Object.keys(seen)) seen[key] = 0
    return found
  },
})
