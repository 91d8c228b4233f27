import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { configFile, runProgram, serviceChild } from '../support/child.js'
import { connectNode, nextAssign } from '../support/node-session.js'
import { tempDir } from '../support/temp-dir.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const register = join(root, 'test/support/register-tracing.mjs')
const traceId = '0af7651916cd43dd8448eb211c80319c'
const traceparent = `00-${traceId}-b7ad6b7169203331-01`

test('with an SDK that node --import registers, a service whose core has its own thread tells each task once, and before it stops', async () => {
  const spans = join(tempDir(), 'spans')
  const service = await serviceChild(
    configFile('core_thread = true\nheartbeat_interval = 5\nshutdown_timeout = 1'),
    [],
    {
      NODE_OPTIONS: `--import ${register}`,
      SPANS_FILE: spans,
    },
  )
  const node = await connectNode(service, 'n1', { max_concurrent_tasks: 10 })
  for (let i = 0; i < 10; i++) await service.submit({ task_id: `t${i}`, traceparent })
  for (let i = 0; i < 10; i++) node.complete(await nextAssign(node, `t${i}`))
  for (let i = 0; i < 10; i++) await service.reaches(`t${i}`, 'completed')
  service.process.kill('SIGTERM')
  expect(await service.exit).toEqual({ code: 0, signal: null })
  const told = readFileSync(spans, 'utf8').trim().split('\n')
  const ten = (name: string): string[] => Array<string>(10).fill(JSON.stringify({ name, trace: traceId, isMainThread: true })) // prettier-ignore
  expect(told.sort()).toEqual([...ten('attempt 1'), ...ten('task'), ...ten('wait')])
})

test('where the package of the API is not installed, nothing is traced and nothing fails', async () => {
  const dir = tempDir()
  mkdirSync(join(dir, 'dist', 'lib'), { recursive: true })
  copyFileSync(join(root, 'package.json'), join(dir, 'package.json'))
  for (const file of ['tracing.js', 'version.js'])
    copyFileSync(join(root, 'dist', 'lib', file), join(dir, 'dist', 'lib', file))
  const main = join(dir, 'main.mjs')
  writeFileSync(main, `const { findTracing } = await import('./dist/lib/tracing.js'); console.log(await findTracing())`)
  const run = async () => {
    const { exit, out, err } = runProgram(process.execPath, [main])
    return [(await exit).code, out, err]
  }
  expect(await run()).toEqual([0, ['null'], []])

  // One that is there and broken is said.
  const api = join(dir, 'node_modules', '@opentelemetry', 'api')
  cpSync(join(root, 'node_modules', '@opentelemetry', 'api', 'package.json'), join(api, 'package.json'))
  mkdirSync(join(api, 'dist'))
  writeFileSync(join(api, 'dist', 'index.mjs'), 'throw new Error("broken")')
  expect(existsSync(join(api, 'dist', 'index.mjs'))).toBe(true)
  expect(await run()).toEqual([0, ['null'], expect.arrayContaining([expect.stringContaining('Error: broken')])])
})
