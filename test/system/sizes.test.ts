import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Agent, request } from 'undici'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { serviceAt, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

const MIB = 1024 * 1024

/** A service in a process of its own, so that its memory is its own. */
async function startProcess(settings: Record<string, unknown>) {
  const child = fork(fileURLToPath(new URL('../crash/serve.mjs', import.meta.url)), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    execArgv: ['--expose-gc'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  child.send({ settings: { database_path: join(tempDir(), 'inference.db'), api_port: 0, ...settings }, kill: null })
  const [{ url }] = (await once(child, 'message')) as [{ url: string }]
  const rss = (): number =>
    process.platform === 'linux'
      ? Number(/VmRSS:\s*(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024
      : 0
  return { service: serviceAt(url), url, rss, lives: () => child.exitCode === null && child.signalCode === null }
}

/** Texts of this size, each of them hard on a parser in its own way. */
const kinds: Record<string, (bytes: number) => string> = {
  'an amount': (n) => `{"type":"task.submit","fee":${'9'.repeat(n)}}`,
  brackets: (n) => '['.repeat(n),
  'empty objects': (n) => `[${'{},'.repeat(n / 3)}{}]`,
  names: (n) => `{${Array.from({ length: n / 16 }, (_, i) => `"n${i}":1`).join(',')}}`,
  escapes: (n) => `{"type":"task.submit","user_input":"${'\\u0001'.repeat(n / 6)}"}`,
  'white space': (n) => `{"fee"${' '.repeat(n)}:1e-400}`,
  quotes: (n) => '"'.repeat(n),
}

test.each([
  { setting: 16 * 1024, sizes: [256, 4096, 16_000] },
  { setting: 16 * MIB, sizes: [MIB, 6 * MIB, 15 * MIB] },
  { setting: 256 * MIB, sizes: [255 * MIB] },
])(
  'bodies and frames of every size up to max_message_bytes of $setting end nothing, and their memory comes back',
  async ({ setting, sizes }) => {
    const { service, url, rss, lives } = await startProcess({
      max_message_bytes: setting,
      max_body_bytes: Math.max(setting, 16 * MIB),
    })
    const agent = new Agent({ bodyTimeout: 0, headersTimeout: 0 })
    onTestFinished(() => agent.destroy())
    /** Sends a frame in a session of its own, and waits until it is answered or its session is closed. */
    const sendFrame = async (text: string): Promise<void> => {
      const session = new WebSocket(`${url.replace('http', 'ws')}/api/v1/tasks/connect`, { perMessageDeflate: false })
      onTestFinished(() => session.terminate())
      session.on('error', () => undefined)
      let answers = 0
      session.on('message', () => answers++)
      const closed = new Promise((resolve) => session.once('close', resolve))
      await until(() => answers === 1 || session.readyState === session.CLOSED, 'a welcome')
      session.send(text)
      const answered = new Promise<void>((resolve) => session.once('message', () => resolve()))
      await Promise.race([answered, closed])
      session.terminate()
    }
    const before = rss()
    // Of the largest a few kinds have to do: each takes seconds.
    const names = setting > 16 * MIB ? ['an amount', 'escapes'] : Object.keys(kinds)
    for (const bytes of sizes) {
      for (const name of names) {
        const text = kinds[name]?.(bytes - 64) ?? ''
        const answer = await request(`${url}/api/v1/tasks/batch`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: text,
          dispatcher: agent,
        })
        await answer.body.dump()
        expect([name, bytes, [400, 413].includes(answer.statusCode)]).toEqual([name, bytes, true])
        await sendFrame(text)
        expect([name, bytes, lives()]).toEqual([name, bytes, true])
      }
    }
    expect((await service.post('/api/v1/tasks', task())).status).toBe(200)
    if (process.platform === 'linux') await until(() => rss() < before + 2 * setting + 256 * MIB)
    expect(lives()).toBe(true)
  },
  300_000,
)
