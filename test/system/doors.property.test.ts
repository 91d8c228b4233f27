import fc from 'fast-check'
import { rmSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createCoordinator, inferenceDefaults, type Coordinator } from '../../src/coordinator.js'
import { silentLog } from '../../src/lib/log.js'
import type { ServerMessage } from '../../src/wire/node.js'
import { type Command, command } from '../support/doors-commands.js'
import { identity } from '../support/identity.js'
import { connectNode, dial, hello, type TestNode } from '../support/node-session.js'
import { calm, type Service, serviceAt, task as submission } from '../support/service.js'
import { until } from '../support/wait.js'

/**
 * The real service, through its real doors, beside a small model of what should be true. Commands run one after the other;
 * after each one everything that has left the service is read, and every task is compared with the model. fast-check prints
 * the seed and the path of a failure: `fc.assert(..., { seed, path })` replays it.
 */

const NODES = ['alice', 'bob']
const POLLER = 'pat'

/** A thread needs the built files. */
const built = async (): Promise<typeof createCoordinator> =>
  (
    (await import(new URL('../../dist/coordinator.js', import.meta.url).href)) as {
      createCoordinator: typeof createCoordinator
    }
  ).createCoordinator

/** What the model knows of a task: who was given which attempt, and how it has ended. */
interface Known {
  status: 'open' | 'completed' | 'failed'
  output: string | null
  given: Map<number, string>
}

async function play(commands: readonly Command[], inThread: boolean): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'inference-'))
  const settings = inferenceDefaults({
    ...calm,
    shutdown_timeout: 0,
    max_attempts: 4,
    database_path: join(dir, 'inference.db'),
    api_port: 0,
    core_thread: inThread,
  })
  let coordinator: Coordinator
  let service: Omit<Service, 'file' | 'coordinator' | 'observer' | 'stop'>
  const known = new Map<string, Known>()
  const sessions = new Map<string, TestNode>()
  /** What was given to the names of nodes before these were forgotten. */
  const formerly: { task_id: string; attempt: number; node: string }[] = []
  /** What each session node believes to hold. */
  const holds = new Map<string, Map<string, number>>(NODES.map((node) => [node, new Map<string, number>()]))

  const start = async (): Promise<void> => {
    coordinator = (inThread ? await built() : createCoordinator)({ settings, log: silentLog() })
    service = serviceAt((await coordinator.listen()).url)
  }
  const note = (taskId: string, attempt: number, node: string): void => {
    const t = known.get(taskId)
    if (t === undefined) throw new Error(`${taskId} was given out and never acknowledged`)
    expect(t.status, `${taskId} is given out`).toBe('open')
    expect(
      (t.given.has(attempt) && t.given.get(attempt) !== node) ||
        formerly.some((f) => f.task_id === taskId && f.attempt === attempt),
      `attempt ${attempt} of ${taskId} was given twice`,
    ).toBe(false)
    t.given.set(attempt, node)
  }
  const heed = (node: string, messages: readonly ServerMessage[]): void => {
    for (const m of messages) {
      if (m.type === 'task.assign') {
        note(m.task_id, m.attempt, node)
        holds.get(node)?.set(m.task_id, m.attempt)
      }
      if (m.type === 'task.cancel' && holds.get(node)?.get(m.task_id) === m.attempt) holds.get(node)?.delete(m.task_id)
    }
  }
  /** Says something and reads everything up to the answer of a heartbeat that follows it. */
  const exchange = async (node: string, ...messages: unknown[]): Promise<ServerMessage[]> => {
    const session = sessions.get(node)
    if (session === undefined) return []
    session.say([...messages, { type: 'node.heartbeat' }])
    await session.next('node.heartbeat_ack')
    const read = session.inbox.splice(0)
    heed(node, read)
    return read
  }
  /** Twice: what one node's answer frees may be pushed to the other in the next turn. */
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 2; i++) for (const node of sessions.keys()) await exchange(node)
  }
  const connect = async (node: string, remembers: boolean): Promise<void> => {
    sessions.get(node)?.socket.terminate()
    const running = remembers ? [...(holds.get(node) ?? [])].map(([task_id, attempt]) => ({ task_id, attempt })) : []
    const session = await connectNode(service, node, { max_concurrent_tasks: 2, running, batch: true })
    sessions.set(node, session)
    holds.set(node, new Map(session.welcome.resumed.map((r) => [r.task_id, r.attempt])))
  }
  const report = async (
    node: string,
    which: number,
    kind: 'complete' | 'fail' | 'failForGood' | 'reject' | 'accept',
  ): Promise<void> => {
    if (!sessions.has(node)) return
    const given = [...known].flatMap(([task_id, t]) =>
      [...t.given].filter(([, who]) => who === node).map(([attempt]) => ({ task_id, attempt })),
    )
    const about = given[which % Math.max(1, given.length)]
    if (about === undefined) return
    const t = known.get(about.task_id) as Known
    const wasHeld = holds.get(node)?.get(about.task_id) === about.attempt
    const output = `${about.task_id} by ${node} in ${about.attempt}`
    const message =
      kind === 'complete'
        ? { type: 'task.complete', ...about, output, confidence: 1 }
        : kind === 'accept'
          ? { type: 'task.accept', ...about }
          : kind === 'reject'
            ? { type: 'task.reject', ...about, reason: 'no' }
            : { type: 'task.fail', ...about, error: 'no', retryable: kind === 'fail' }
    if (kind !== 'accept') holds.get(node)?.delete(about.task_id)
    const open = t.status === 'open'
    const answers = await exchange(node, message)
    const settled = answers.some(
      (m) => m.type === 'task.settled' && m.task_id === about.task_id && m.attempt === about.attempt,
    )
    if (kind === 'complete') {
      // The first result of an open task wins, whoever holds the task now; a repeated one is settled again.
      expect(settled, `${output}, task ${t.status}`).toBe(open || t.output === output)
      if (open) Object.assign(t, { status: 'completed', output })
    }
    if (kind === 'failForGood' && wasHeld && open) {
      expect(settled).toBe(true)
      t.status = 'failed'
    }
  }

  const run = async (c: Command): Promise<void> => {
    switch (c.do) {
      case 'submit': {
        const task_id = `t${c.id}`
        const old = known.get(task_id)
        const { status } = await service.post(
          '/api/v1/tasks/submit',
          submission({ task_id, infer_fee: c.id, user_input: c.other ? 'another' : 'the same' }),
        )
        if (old === undefined) known.set(task_id, { status: 'open', output: null, given: new Map() })
        else expect([200, 409]).toContain(status)
        if (old === undefined) expect(status).toBe(200)
        return
      }
      case 'batch': {
        const tasks = [0, 1, 2].map((i) => submission({ task_id: `b${c.from}-${i}`, user_input: 'batch' }))
        const { status, body } = await service.post('/api/v1/tasks/batch', { tasks })
        expect(status).toBe(200)
        expect(body?.data).toMatchObject({ results: tasks.map((t) => ({ task_id: 'task_id' in t ? t.task_id : '' })) })
        for (const t of tasks)
          if ('task_id' in t && !known.has(String(t.task_id)))
            known.set(String(t.task_id), { status: 'open', output: null, given: new Map() })
        return
      }
      case 'connect':
        return connect(NODES[c.node % 2] ?? '', c.remembers)
      case 'vanish': {
        const node = NODES[c.node % 2] ?? ''
        const session = sessions.get(node)
        if (session === undefined) return
        sessions.delete(node)
        if (c.returned) session.close(1000)
        else session.socket.terminate()
        const entry = async () =>
          ((await service.get('/api/v1/nodes')).body?.data as { node_id: string; status: string }[]).find(
            (x) => x.node_id === node,
          )?.status
        await until(async () => (await entry()) === 'offline', `${node} being offline`)
        if (c.returned) holds.get(node)?.clear()
        return
      }
      case 'complete':
      case 'fail':
      case 'failForGood':
      case 'reject':
      case 'accept':
        return report(NODES[c.node % 2] ?? '', c.which, c.do)
      case 'poll': {
        expect((await service.register(POLLER, { max_concurrent_tasks: 2 })).status).toBe(200)
        const task = (await service.poll(POLLER)) as { task_id: string; attempt: number } | null
        if (task !== null) note(task.task_id, task.attempt, POLLER)
        return
      }
      case 'pollComplete':
      case 'pollFail': {
        const given = [...known].filter(([, t]) => [...t.given.values()].includes(POLLER))
        const [task_id, t] = given[c.which % Math.max(1, given.length)] ?? []
        if (task_id === undefined || t === undefined) return
        const output = `${task_id} by ${POLLER}`
        if (c.do === 'pollFail') {
          const { status } = await service.post('/api/v1/tasks/fail', {
            task_id,
            inference_node_id: POLLER,
            error: 'no',
          })
          expect([200, 409]).toContain(status)
          return
        }
        const { status } = await service.post('/api/v1/tasks/complete', {
          task_id,
          inference_node_id: POLLER,
          output,
          confidence: 1,
        })
        expect(status).toBe(t.status === 'open' || t.output === output ? 200 : 409)
        if (t.status === 'open') Object.assign(t, { status: 'completed', output })
        return
      }
      case 'cancel': {
        const t = known.get(`t${c.id}`)
        const before =
          t === undefined ? null : ((await service.status(`t${c.id}`)) as { status: string; error: string | null })
        const { status } = await service.post(`/api/v1/tasks/t${c.id}/cancel`, {})
        if (t === undefined || before === null) return expect(status).toBe(404)
        const may = before.status === 'pending' || before.status === 'in_progress' || before.error === 'cancelled'
        expect(status).toBe(may ? 200 : 409)
        if (may) t.status = 'failed'
        return
      }
      case 'retry': {
        const t = known.get(`t${c.id}`)
        const { status } = await service.post(`/api/v1/tasks/t${c.id}/retry`, {})
        if (t === undefined) return expect(status).toBe(404)
        expect(status).toBe(t.status === 'completed' ? 409 : 200)
        if (t.status === 'failed') t.status = 'open'
        return
      }
      case 'drain':
      case 'resume': {
        const { status } = await service.post(`/api/v1/nodes/${NODES[c.node % 2]}/${c.do}`, {})
        return expect([200, 404]).toContain(status)
      }
      case 'forget': {
        const node = [...NODES, POLLER][c.node % 3] ?? ''
        const { status } = await service.send('DELETE', `/api/v1/nodes/${node}`)
        expect([200, 404, 409]).toContain(status)
        if (status !== 200) return
        const session = sessions.get(node)
        if (session !== undefined) expect((await session.closed).code).toBe(1000)
        sessions.delete(node)
        holds.get(node)?.clear()
        for (const [task_id, t] of known)
          for (const [attempt, who] of t.given) {
            if (who !== node) continue
            t.given.delete(attempt)
            formerly.push({ task_id, attempt, node })
          }
        return
      }
      case 'second': {
        const node = NODES[c.node % 2] ?? ''
        const first = sessions.get(node)
        if (first === undefined) return
        const running = [...(holds.get(node) ?? [])].map(([task_id, attempt]) => ({ task_id, attempt }))
        const more = { max_concurrent_tasks: 2, running, batch: true, take_over: c.takeOver }
        // One that does not answer in time, because the machine is slow, is replaced as well.
        const session = await connectNode(service, node, more).catch((refused: Error) => {
          expect({ message: refused.message, takeOver: c.takeOver }).toMatchObject({
            message: expect.stringContaining('4409'),
            takeOver: false,
          })
          return null
        })
        if (session === null) return
        expect((await first.closed).code).toBe(4409)
        sessions.set(node, session)
        holds.set(node, new Map(session.welcome.resumed.map((r) => [r.task_id, r.attempt])))
        return
      }
      case 'stranger': {
        const names = ((await service.get('/api/v1/nodes')).body?.data as { node_id: string }[]).map((x) => x.node_id)
        const node = names[c.node % Math.max(1, names.length)]
        if (node === undefined) return
        if (c.rest) return expect((await service.register(node, { public_key: "a stranger's" })).status).toBe(409)
        const stranger = await dial(service)
        const { nonce } = await stranger.next('session.challenge')
        stranger.say(hello(service, node, nonce, { take_over: true }, identity('a stranger')))
        return expect((await stranger.closed).code).toBe(4403)
      }
      case 'formerly': {
        const about = formerly[c.which % Math.max(1, formerly.length)]
        if (about === undefined) return
        const { node, ...attempt } = about
        if (node === POLLER) {
          const body = { task_id: about.task_id, inference_node_id: node, output: 'garbage', confidence: 1 }
          if ((await service.register(node, { max_concurrent_tasks: 2 })).status !== 200) return
          const newest = [...(known.get(about.task_id)?.given ?? [])].some(([, who]) => who === POLLER)
          if (!newest) expect((await service.post('/api/v1/tasks/complete', body)).status).toBe(409)
          return
        }
        const answers = await exchange(node, { type: 'task.complete', ...attempt, output: 'garbage', confidence: 1 })
        if (answers.length > 0) expect(answers).toContainEqual(expect.objectContaining({ code: 'not_holder' }))
        return
      }
      case 'restart':
        for (const { socket } of sessions.values()) socket.terminate()
        sessions.clear()
        await coordinator.stop()
        await start()
    }
  }

  const check = async (): Promise<void> => {
    await settle()
    const recount: Record<string, number> = { pending: 0, in_progress: 0, completed: 0, failed: 0 }
    for (const [taskId, t] of known) {
      const now = (await service.status(taskId)) as {
        status: string
        error: string | null
        result: { output: string } | null
      }
      // Only the service counts attempts: an open task may have been given up by it.
      if (t.status === 'open' && now.status === 'failed') {
        expect(now.error, taskId).toMatch(/^gave up after|^no$|poison/)
        t.status = 'failed'
      }
      expect(now.status, taskId).toMatch(t.status === 'open' ? /^(pending|in_progress)$/ : new RegExp(`^${t.status}$`))
      expect(now.result?.output ?? null, taskId).toBe(t.output)
      recount[now.status] = (recount[now.status] ?? 0) + 1
    }
    const stats = (await service.get('/api/v1/stats')).body?.data as Record<string, number>
    expect({
      pending: stats['pending_tasks'],
      in_progress: stats['processing_tasks'],
      completed: stats['completed_tasks'],
      failed: stats['failed_tasks'],
    }).toEqual(recount)
    expect(stats['total_tasks']).toBe(known.size)
    const nodes = (await service.get('/api/v1/nodes')).body?.data as {
      in_progress_tasks: number
      max_concurrent_tasks: number
    }[]
    expect(nodes.reduce((sum, x) => sum + x.in_progress_tasks, 0)).toBe(stats['processing_tasks'])
    for (const x of nodes) expect(x.in_progress_tasks).toBeLessThanOrEqual(x.max_concurrent_tasks)
  }

  await start()
  try {
    for (const c of commands) {
      await run(c)
      await check()
    }
  } finally {
    for (const { socket } of sessions.values()) socket.terminate()
    await coordinator!.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

const runs = Number(process.env['PROPERTY_RUNS'] ?? 12)

test('whatever comes through the doors, the service does what the model says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 4, maxLength: 40, size: 'max' }), (commands) =>
      play(commands, false),
    ),
    { numRuns: runs },
  )
}, 180_000)

test('the same with the core in a thread of its own', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 4, maxLength: 40, size: 'max' }), (commands) =>
      play(commands, true),
    ),
    { numRuns: Math.ceil(runs / 2) },
  )
}, 180_000)
