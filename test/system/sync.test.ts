import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { configFile, serviceChild } from '../support/child.js'
import { connectNode } from '../support/node-session.js'
import { task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

const SLOW_SYNC = new URL('../support/slow-sync.mjs', import.meta.url).href
const SLOW_MS = 20

/** A service on a disk that is slow by `ms`, and fails once it is told to. */
async function serviceOn(ms: number, inference: string, dir = tempDir()) {
  const config = configFile(`database_path = ${JSON.stringify(join(dir, 'inference.db'))}\n${inference}`, dir)
  const broken = join(dir, 'broken')
  const start = (env: Record<string, string>) =>
    serviceChild(config, [], { NODE_OPTIONS: `--import ${SLOW_SYNC}`, SLOW_SYNC_MS: String(ms), ...env })
  return {
    service: await start({ FAIL_SYNC: broken }),
    breakDisk: () => writeFileSync(broken, ''),
    again: () => start({}),
  }
}

describe.each([
  ['in the thread of the doors', ''],
  ['in a thread of its own', 'core_thread = true\n'],
])('with the core %s', (_, inference) => {
  test('on a slow disk everything waits for its sync, and what was answered is there after a kill', async () => {
    const { service, again } = await serviceOn(SLOW_MS, inference)
    const node = await connectNode(service, 'node-1', { max_concurrent_tasks: 1 })
    const began = performance.now()
    const ids = await Promise.all(Array.from({ length: 20 }, () => service.submit()))
    expect(performance.now() - began).toBeGreaterThan(SLOW_MS * 0.9)
    const { task_id } = await node.next('task.assign')
    node.say({ type: 'task.accept', task_id, attempt: 1 })
    const said = performance.now()
    node.say({ type: 'task.complete', task_id, attempt: 1, output: 'Paris', confidence: 0.9 })
    await node.next('task.settled')
    expect(performance.now() - said).toBeGreaterThan(SLOW_MS * 0.9)
    service.process.kill('SIGKILL')
    await service.exit
    const next = await again()
    for (const id of ids) expect(await next.status(id)).toMatchObject({ task_id: id })
    expect(await next.status(task_id)).toMatchObject({ status: 'completed' })
  })

  test.each([0, SLOW_MS])(
    'when a sync fails the service ends, says why, and has acknowledged nothing of it (a disk slower by %i ms)',
    async (ms) => {
      const { service, breakDisk, again } = await serviceOn(ms, inference)
      const stored = [await service.submit(), await service.submit()]
      breakDisk()
      const refused = await service.post('/api/v1/tasks/submit', task({ task_id: 'never' })).then(
        ({ status }) => status,
        () => 'no answer',
      )
      expect(refused).not.toBe(200)
      expect((await service.exit).code).not.toBe(0)
      const why = service.out.find((line) => line.includes('core.failed'))
      expect(why).toContain('could not be made durable (EIO: i/o error, fdatasync)')
      expect(why).toContain('Look for what is wrong with the disk')
      const next = await again()
      for (const id of stored) expect(await next.status(id)).toMatchObject({ status: 'pending' })
    },
  )
})
