import { expect, test } from 'vitest'
import { createBudget } from '../../src/lib/budget.js'
import { createRemotes } from '../../src/door/remote.js'
import { connectClient, resultOf, submission } from '../support/client-session.js'
import { fakeTime, fakeTimers } from '../support/fake-time.js'
import { connectNode, nextAssign } from '../support/node-session.js'
import { startService } from '../support/service.js'
import { sessionDoor } from '../support/session-door.js'
import { until } from '../support/wait.js'

const MIB = 1024 * 1024

test('a task submitted again is told of as a watch is: a few at a time while the reader does not read, and all when it does', async () => {
  const { host, said, sessions } = await sessionDoor()
  const client = await connectClient({ host })
  await client.next('session.welcome')
  client.socket.pause()
  const tasks = Array.from({ length: 24 }, (_, i) => `T${i}`)
  client.say([...tasks, ...tasks].map((task_id, i) => submission({ task_id, ref: `r${i}` })))
  let answered = 0
  let results = 0
  const answer = (): void => {
    for (const o of said.slice(answered)) {
      answered++
      if (o.op === 'clientSubmissions')
        sessions.deliver(
          o.list.map(({ ref, task }) => ({
            session: 1,
            message: { type: 'task.submitted', ref, task_id: task.task_id ?? '', status: 'completed', warnings: [] },
          })),
        )
      else if (o.op === 'clientMessage') {
        results++
        sessions.deliver([{ session: 1, message: resultOf(o.message.task_id, 'a'.repeat(3 * MIB)) }])
      }
    }
  }
  await until(() => said.length > 0, 'the submissions')
  for (let i = 0; i < 50; i++) {
    answer()
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(results).toBeGreaterThan(0)
  expect(results).toBeLessThanOrEqual(8)
  client.socket.resume()
  await until(() => {
    answer()
    return client.inbox.filter((m) => m.type === 'task.result').length === tasks.length
  }, 'every result')
})

test('a task that has ended, submitted again, is answered as submitted and then with its result; unwatched at once, a running one is not watched', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const client = await connectClient(service)
  client.submit({ task_id: 'A' })
  node.complete(await nextAssign(node, 'A'))
  await client.next('task.result')
  client.inbox.splice(0)
  client.submit({ task_id: 'A', ref: 'again' })
  await client.next('task.result', { task_id: 'A' })
  expect(client.inbox).toMatchObject([{ type: 'task.submitted', ref: 'again', status: 'completed' }])

  client.submit({ task_id: 'B', watch: 'none' })
  const b = await nextAssign(node, 'B')
  node.accept(b)
  await node.beat()
  client.say([submission({ task_id: 'B', ref: 'b', watch: 'output' }), { type: 'task.unwatch', task_id: 'B' }])
  await client.next('task.submitted', { ref: 'b' })
  await client.settle()
  client.submit({ task_id: 'B', ref: 'b2', watch: 'result' })
  await client.next('task.status', { task_id: 'B', status: 'in_progress' })
  node.complete(b)
  await client.next('task.result', { task_id: 'B' })
  expect(client.inbox.filter((m) => m.type === 'task.status')).toEqual([])
})

test('readers that take nothing keep no other from his watches, and go when half of what may wait does', async () => {
  const time = fakeTime()
  const timers = fakeTimers('setInterval', 'clearInterval')
  const unsent = createBudget({ address: 64 * MIB, service: 64 * MIB })
  const { host, said, sessions } = await sessionDoor({ unsent, time, remotes: createRemotes([], false) })
  const stuck = [await connectClient({ host }), await connectClient({ host })]
  const honest = await connectClient({ host })
  for (const client of [...stuck, honest]) await client.next('session.welcome')
  for (const { socket } of stuck) socket.pause()
  const send = (session: number, n: number) =>
    sessions.deliver(
      Array.from({ length: n }, (_, i) => ({ session, message: resultOf(`T${i}`, 'a'.repeat(3 * MIB)) })),
    )
  send(1, 12)
  send(2, 5)
  await until(() => unsent.total() > 34 * MIB, 'what waits')
  honest.say({ type: 'task.watch', task_id: 'mine' })
  await until(() => said.some((o) => o.op === 'clientMessage'), 'the honest one')
  timers.jump(1)
  time.jump(6)
  timers.jump(1)
  for (const { socket } of stuck) socket.resume()
  expect((await stuck[0]?.closed)?.code).toBe(4429)
  expect([stuck[1]?.socket.readyState, honest.socket.readyState]).toEqual([1, 1])
})
