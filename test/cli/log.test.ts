import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createLogStream } from '../../src/lib/log-stream.js'
import { CLI, configFile } from '../support/child.js'
import { serviceAt } from '../support/service.js'
import { until } from '../support/wait.js'

test('lines that cannot be written are counted, and the next that can says how many', () => {
  let full = false
  const written: string[] = []
  const stream = createLogStream(1, (_fd, bytes) => {
    if (full) throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    const part = bytes.subarray(0, 10) // a line may take several writes
    written.push(Buffer.from(part).toString())
    return part.length
  })
  stream.write('{"msg":"first line"}\n')
  full = true
  stream.write('{"msg":"lost"}\n')
  stream.write('{"msg":"lost too"}\n')
  full = false
  stream.write('{"msg":"last"}\n')
  const lines = written
    .join('')
    .trim()
    .split('\n')
    .map((l) => JSON.parse(l) as unknown)
  expect(lines).toMatchObject([{ msg: 'first line' }, { event: 'log.lost', lines: 2 }, { msg: 'last' }])
})

describe.runIf(process.platform === 'linux')('a log that cannot be written', () => {
  test('does not stop the service', async () => {
    const full = openSync('/dev/full', 'w')
    const port = 20_000 + Math.floor(Math.random() * 20_000)
    const child = spawn(
      process.execPath,
      [CLI, 'run-inference-service', '--config', configFile(), '--api-port', String(port), '--debug'],
      { stdio: ['ignore', full, 'ignore'] },
    )
    const exited = once(child, 'exit')
    onTestFinished(async () => {
      child.kill('SIGKILL')
      await exited
    })
    const service = serviceAt(`http://127.0.0.1:${port}`)
    await until(async () => (await service.get('/health').catch(() => null))?.status === 200, 'the service')
    for (let i = 0; i < 20; i++) await service.submit({ task_id: `t${i}` })
    expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ pending_tasks: 20 })
    child.kill('SIGTERM')
    expect(await exited).toEqual([0, null])
  })
})
