import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { accepted, asked, atWork, clientOf, readAll, rejection } from '../support/client.js'
import { startFront } from '../support/front.js'
import { connectNode } from '../support/node-session.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

/** Numbers from 0 to below 1 that follow from a seed. */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
const ways = ['session', 'rest'] as const

describe.each(ways)('by %s', (way) => {
  test('a stream cut ten times at random with a restart of the service between arrives whole, each character once', async () => {
    const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
    const random = seeded(seed)
    const database_path = join(tempDir(), 'inference.db')
    let service = await startService({ database_path })
    const front = await startFront(service)
    if (way === 'rest') front.webSockets('refused')
    const stream = clientOf(front).stream(asked({ task_id: 'a' }))
    let read = ''
    const reading = (async () => {
      for await (const piece of stream) read += piece
    })()
    const { node: first, assigned } = await atWork(service, 'n')
    let node = first
    const say = (seq: number, delta: string): void =>
      node.say({ type: 'task.output', task_id: 'a', attempt: assigned.attempt, seq, delta })
    const words = Array.from({ length: 60 }, (_, i) => `wörd-${i}-😀 `)
    const cuts = new Set<number>()
    while (cuts.size < 10) cuts.add(Math.floor(random() * words.length))
    const restart = [...cuts][Math.floor(random() * 10)] ?? 0
    for (const [i, word] of words.entries()) {
      say(i, word)
      if (random() < 0.5) await sleep(random() * 10)
      if (!cuts.has(i)) continue
      // What is on its way is lost with the connection, unless the reader has it by then. After the restart it comes with the result.
      if (i <= restart && random() < 0.5) await until(() => read === words.slice(0, i + 1).join(''), 'the text so far')
      front.cut()
      if (i !== restart) continue
      front.leadTo(null)
      await service.stop()
      service = await startService({ database_path })
      node = await connectNode(service, 'n', { running: [{ task_id: 'a', attempt: assigned.attempt }] })
      front.leadTo(service)
    }
    node.complete(assigned, words.join(''))
    await reading
    expect({ seed, read, restarted: stream.restarted }).toEqual({ seed, read: words.join(''), restarted: 0 })
    expect(await stream.result).toMatchObject({ output: words.join('') })
    expect(await service.status('a')).toMatchObject({ attempts: 1 })
  })

  test('no task is there twice, however often the connections of a client are cut', async () => {
    const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
    const random = seeded(seed)
    const service = await startService()
    const front = await startFront(service)
    if (way === 'rest') front.webSockets('refused')
    const client = clientOf(front)
    const node = await connectNode(service, 'n', { max_concurrent_tasks: 4 })
    const given: string[] = []
    const count = 40
    let isOver = false
    const work = (async () => {
      for (let i = 0; i < count; i++) {
        const a = await accepted(node)
        given.push(a.user_input)
        node.complete(a, `to ${a.user_input}`)
      }
    })()
    const cutting = (async () => {
      for (let cuts = 0; !isOver && cuts < 25; cuts++) {
        await sleep(random() * 40)
        front.cut()
      }
    })()
    const calls = Array.from({ length: count }, async (_, i) => {
      await sleep(random() * 500)
      const task = asked({ user_input: `question ${i}` })
      if (random() < 0.5) return (await client.run(task)).output
      return (await readAll(client.stream(task))).text
    })
    const answers = await Promise.all(calls)
    isOver = true
    await Promise.all([work, cutting])
    expect({ seed, answers }).toEqual({ seed, answers: answers.map((_, i) => `to question ${i}`) })
    expect({ seed, total: (await service.get('/api/v1/stats')).body?.data.total_tasks }).toEqual({ seed, total: count })
    expect({ seed, given: new Set(given).size }).toEqual({ seed, given: count })
  })

  test('a run goes on over a restart of the service', async () => {
    const database_path = join(tempDir(), 'inference.db')
    const first = await startService({ database_path })
    const front = await startFront(first)
    if (way === 'rest') front.webSockets('refused')
    const client = clientOf(front)
    const result = client.run(asked({ task_id: 'a' }))
    await client.submit(asked({ task_id: 'a' }))
    front.leadTo(null)
    await first.stop()
    // It has come to its result before anybody asks again.
    const second = await startService({ database_path })
    const { node, assigned } = await atWork(second, 'n')
    node.complete(assigned, 'Paris')
    await second.reaches('a', 'completed')
    front.leadTo(second)
    expect(await result).toMatchObject({ output: 'Paris' })
  })

  test('a submission that nobody could take at first is stored when somebody can', async () => {
    const front = await startFront()
    if (way === 'rest') front.webSockets('refused')
    const client = clientOf(front)
    const stored = client.submit(asked({ task_id: 'a' }))
    await until(() => front.upgrades() > 1, 'two tries')
    const service = await startService()
    front.leadTo(service)
    expect(await stored).toMatchObject({ task_id: 'a' })
    expect(await service.status('a')).toMatchObject({ status: 'pending' })
  })

  test('after its patience a client gives up, and says that the task goes on', async () => {
    const service = await startService()
    const front = await startFront(service)
    if (way === 'rest') front.webSockets('refused')
    const client = clientOf(front, { patience: 0.5 })
    await client.submit(asked({ task_id: 'a' }))
    const stream = client.stream(asked({ task_id: 'a' }))
    const read = rejection(readAll(stream))
    await client.submit(asked({ task_id: 'a' }))
    front.leadTo(null)
    front.cut()
    expect(await rejection(stream.result)).toMatchObject({ code: 'unreachable', task_id: 'a' })
    expect(await read).toMatchObject({ code: 'unreachable' })
    expect(await service.status('a')).toMatchObject({ status: 'pending' })
    // The next call tries again.
    front.leadTo(service)
    expect(await client.submit(asked({ task_id: 'b' }))).toMatchObject({ task_id: 'b' })
  })
})

test('where a WebSocket is opened and nothing comes back, REST takes over', { timeout: 90_000 }, async () => {
  const service = await startService()
  const front = await startFront(service)
  front.webSockets('swallowed')
  const client = clientOf(front)
  const read = readAll(client.stream(asked({ task_id: 'a' })))
  const { node, assigned } = await atWork(service, 'n')
  node.complete(assigned, 'Paris')
  expect((await read).text).toBe('Paris')
  // From here on no other is tried.
  const before = front.upgrades()
  await client.submit(asked({ task_id: 'b' }))
  expect(front.upgrades()).toBe(before)
})

test('a session in which nothing waits ends by itself, and the next call opens another', async () => {
  const service = await startService()
  const front = await startFront(service)
  const client = clientOf(front)
  await client.submit(asked({ task_id: 'a' }))
  await until(() => front.connections() === 0, 'the end of the session')
  await client.submit(asked({ task_id: 'b' }))
  expect(front.upgrades()).toBe(2)
})
