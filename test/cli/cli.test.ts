import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { cli, configFile, serviceChild, signer } from '../support/child.js'
import { connectNode } from '../support/node-session.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'
import { Database } from '../../src/store/sqlite.js'

/** One line on standard error, that says all of `parts`, and this exit code. */
async function refused(args: string[], code: number, ...parts: string[]): Promise<void> {
  const child = cli(args)
  expect(await child.exit).toEqual({ code, signal: null })
  expect(child.err).toHaveLength(1)
  for (const part of parts) expect(child.err[0]).toContain(part)
}
const run = (config: string, ...more: string[]) => ['run-inference-service', '--config', config, ...more]

test('help and version are printed', async () => {
  const help = cli(['--help'])
  expect(await help.exit).toMatchObject({ code: 0 })
  expect(help.out.join('\n')).toContain('run-inference-service')
  const service = cli(['run-inference-service', '--help'])
  expect(await service.exit).toMatchObject({ code: 0 })
  for (const flag of ['--config', '--database', '--api-port', '--api-host', '--must-exist', '--debug'])
    expect(service.out.join('\n')).toContain(flag)
  const version = cli(['--version'])
  await version.exit
  expect(version.out).toEqual([
    (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version,
  ])
})

test('a command or a flag that does not exist is named', async () => {
  await refused(['run-everything'], 2, 'run-everything', 'run-inference-service')
  await refused(run(configFile(), '--api-prot', '1'), 2, '--api-prot', '--api-port')
})

test('--config is required', async () => {
  const child = cli(['run-inference-service'])
  expect(await child.exit).toMatchObject({ code: 2 })
  expect(child.err.join('\n')).toContain('config')
})

test('a wrong configuration is one line that names the file, the key and what was expected', async () => {
  const missing = join(tempDir(), 'nowhere.toml')
  await refused(run(missing), 2, missing)
  const broken = configFile('api_port = = 1')
  await refused(run(broken), 2, broken, 'TOML')
  const unknown = configFile('api_prot = 8080')
  await refused(run(unknown), 2, unknown, 'inference.api_prot', 'not a known key')
  const kind = configFile('api_port = "8080"')
  await refused(run(kind), 2, kind, 'inference.api_port', 'integer from 0 to 65535')
  const range = configFile('accept_timeout = -1')
  await refused(run(range), 2, range, 'inference.accept_timeout', 'seconds')
  const key = configFile('', tempDir(), signer.replace(/01/, 'zz'))
  await refused(run(key), 2, key, 'signer.stacks_private_key', '32 bytes')
  const zero = configFile('', tempDir(), signer.replace(/"(01)+"/, `"${'00'.repeat(32)}"`))
  await refused(run(zero), 2, zero, 'signer.stacks_private_key')
  const section = configFile('', tempDir(), 'signer = 1')
  await refused(run(section), 2, section, 'signer', 'must be a section')
  const network = configFile('', tempDir(), signer.replace('testnet', 'moonnet'))
  await refused(run(network), 2, network, 'signer.network', 'mainnet')
  const nothing = join(tempDir(), 'empty.toml')
  writeFileSync(nothing, '')
  await refused(run(nothing), 2, nothing, 'signer')
  await refused(run(configFile(), '--api-port', 'http'), 2, 'api_port', 'integer')
  const half = configFile('tls_cert = "x.pem"')
  await refused(run(half), 2, half, 'tls_key')
  const certificate = configFile('tls_cert = "/nowhere/x.pem"\ntls_key = "/nowhere/y.pem"')
  await refused(run(certificate), 2, 'inference.tls_cert', '/nowhere/x.pem')
})

test('the key of the signer is accepted with and without the trailing 01, and never printed', async () => {
  const secret = '7b'.repeat(32)
  const service = await serviceChild(configFile('', tempDir(), signer.replace(/"(01)+"/, `"${secret}01"`)), ['--debug'])
  await service.register('n')
  await service.submit({ user_input: 'a very private prompt', context: 'a very private context' })
  service.process.kill('SIGTERM')
  await service.exit
  const printed = [...service.out, ...service.err].join('\n')
  expect(printed).toContain('task.submitted')
  for (const part of [secret, 'very private', '03placeholder']) expect(printed).not.toContain(part)
})

test('a port in use is one line and exit code 1', async () => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  onTestFinished(() => void holder.close())
  const { port } = holder.address() as AddressInfo
  await refused(run(configFile(), '--api-port', String(port)), 1, String(port), 'in use', '--api-port')
})

test('a database that cannot be opened is one line and exit code 1', async () => {
  const dir = tempDir()
  const folder = join(dir, 'folder.db')
  mkdirSync(folder)
  await refused(run(configFile(), '--database', folder), 1, folder)
  const prose = join(dir, 'prose.db')
  writeFileSync(prose, 'this is no database, it is a letter to a friend. '.repeat(50))
  await refused(run(configFile(), '--database', prose), 1, prose, 'not an SQLite database')
  const readOnly = join(dir, 'read-only.db')
  const made = new Database(readOnly)
  made.exec('CREATE TABLE other (x)')
  made.close()
  // A write version above 2 makes a file read-only for every program and every user.
  const bytes = readFileSync(readOnly)
  bytes[18] = 3
  writeFileSync(readOnly, bytes)
  await refused(run(configFile(), '--database', readOnly), 1, readOnly, 'read-only')
})

test('with --must-exist no new database is made', async () => {
  const dir = tempDir()
  const file = join(dir, 'data', 'inference.db')
  await refused(run(configFile(), '--database', file, '--must-exist'), 1, file, 'there is no database', '--must-exist')
  expect(existsSync(join(dir, 'data'))).toBe(false)
  const empty = join(dir, 'empty.db')
  writeFileSync(empty, '')
  await refused(run(configFile(), '--database', empty, '--must-exist'), 1, empty, 'there is no database')
  const first = await serviceChild(configFile(), ['--database', file])
  first.process.kill('SIGTERM')
  await first.exit
  const second = await serviceChild(configFile(), ['--database', file, '--must-exist'])
  expect((await second.get('/health')).status).toBe(200)
})

test('a service says what started: version, address, database, tasks and nodes', async () => {
  const file = join(tempDir(), 'inference.db')
  const started = (service: { out: string[] }): unknown =>
    JSON.parse(service.out.find((line) => line.includes('service.listening')) ?? '{}')
  const first = await serviceChild(configFile(), ['--database', file])
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  expect(started(first)).toMatchObject({
    version,
    url: first.url,
    database: file,
    new_database: true,
    tasks: 0,
    waiting_tasks: 0,
    nodes: 0,
    msg: `stacks-signer ${version} listens on ${first.url}; new database ${file}; dashboard: ${first.url}/dashboard/`,
  })
  await first.register('n')
  await first.submit()
  await first.submit()
  await first.poll('n')
  first.process.kill('SIGTERM')
  await first.exit
  const second = await serviceChild(configFile(), ['--database', file])
  expect(started(second)).toMatchObject({
    new_database: false,
    tasks: 2,
    waiting_tasks: 1,
    nodes: 1,
    msg: `stacks-signer ${version} listens on ${second.url}; database ${file} with 2 tasks, 1 waiting, and 1 node; dashboard: ${second.url}/dashboard/`,
  })
})

test('a database that another coordinator serves is refused', async () => {
  const file = join(tempDir(), 'inference.db')
  const first = await serviceChild(configFile(), ['--database', file])
  await refused(run(configFile(), '--database', file, '--api-port', '0'), 1, file, 'another coordinator')
  expect((await first.get('/health')).status).toBe(200)
})

test('a database that another program has locked is refused', async () => {
  const file = join(tempDir(), 'inference.db')
  const other = new Database(file)
  onTestFinished(() => void other.close())
  other.exec('CREATE TABLE t (x); BEGIN EXCLUSIVE')
  await refused(run(configFile(), '--database', file), 1, file, 'locked')
})

test('the database is where the flag says, else the file, else beside the file', async () => {
  const dir = tempDir()
  const ends = async (config: string, ...more: string[]): Promise<void> => {
    const service = await serviceChild(config, more)
    service.process.kill('SIGINT')
    expect(await service.exit).toEqual({ code: 0, signal: null })
  }
  const plain = configFile()
  await ends(plain)
  expect(existsSync(join(dirname(plain), 'inference_tasks.db'))).toBe(true)
  await ends(configFile(`database_path = "${join(dir, 'a', 'named.db')}"`))
  expect(existsSync(join(dir, 'a', 'named.db'))).toBe(true)
  await ends(configFile(`database_path = "${join(dir, 'not.db')}"`), '--database', join(dir, 'flag.db'))
  expect([existsSync(join(dir, 'flag.db')), existsSync(join(dir, 'not.db'))]).toEqual([true, false])
})

test('SIGTERM tells the nodes, takes what they still finish, and leaves one clean file', async () => {
  const file = join(tempDir(), 'inference.db')
  const service = await serviceChild(configFile(), ['--database', file])
  const node = await connectNode(service, 'node-1')
  await service.submit({ task_id: 'last' })
  const assigned = await node.next('task.assign')
  node.accept(assigned)
  service.process.kill('SIGTERM')
  expect(await node.next('session.drain')).toMatchObject({ reason: 'shutdown', reconnect_after: 5 })
  const refusedSubmit = await service.post('/api/v1/tasks/submit', {
    user_address: 'u',
    user_input: 'x',
    infer_fee: 1,
    max_infer_time: 5,
    model_name: 'llama',
  })
  expect(refusedSubmit.status).toBe(503)
  expect(refusedSubmit.headers.get('retry-after')).not.toBeNull()
  expect((await service.get('/health')).status).toBe(503)
  node.complete(assigned, 'just in time')
  expect(await node.next('task.settled')).toMatchObject({ task_id: 'last', status: 'completed' })
  expect(await node.closed).toMatchObject({ code: 1001 })
  expect(await service.exit).toEqual({ code: 0, signal: null })
  expect(existsSync(`${file}-wal`)).toBe(false)
  const db = new Database(file, { readonly: true })
  expect(db.prepare('SELECT status, output FROM inference_tasks').all()).toEqual([
    { status: 'completed', output: 'just in time' },
  ])
  db.close()
})

test('a second signal does not wait for the nodes', async () => {
  const service = await serviceChild(configFile('shutdown_timeout = 600'))
  const node = await connectNode(service, 'node-1')
  await service.submit({})
  node.accept(await node.next('task.assign'))
  service.process.kill('SIGINT')
  await node.next('session.drain')
  service.process.kill('SIGINT')
  expect(await node.closed).toMatchObject({ code: 1001 })
  expect(await service.exit).toEqual({ code: 0, signal: null })
})

test('after a SIGKILL everything that was acknowledged is there, and a node goes on with its task', async () => {
  const file = join(tempDir(), 'inference.db')
  const config = configFile()
  const first = await serviceChild(config, ['--database', file])
  const node = await connectNode(first, 'node-1')
  const running = await first.submit({ task_id: 'running' })
  const assigned = await node.next('task.assign')
  node.accept(assigned)
  const waiting = await Promise.all(Array.from({ length: 20 }, (_, i) => first.submit({ task_id: `waiting-${i}` })))
  first.process.kill('SIGKILL')
  await first.exit
  const second = await serviceChild(config, ['--database', file])
  for (const id of waiting) expect(await second.status(id)).toMatchObject({ status: 'pending' })
  const back = await connectNode(second, 'node-1', { running: [{ task_id: running, attempt: assigned.attempt }] })
  expect(back.welcome).toMatchObject({ resumed: [{ task_id: running, attempt: assigned.attempt }], dropped: [] })
  back.complete(assigned, 'survived')
  await back.next('task.settled')
  expect(await second.status(running)).toMatchObject({
    status: 'completed',
    attempts: 1,
    result: { output: 'survived' },
  })
})

test('the log is one JSON object a line', async () => {
  const service = await serviceChild(configFile(), ['--debug'])
  await service.register('node-1')
  await until(() => service.out.some((l) => l.includes('node.registered')))
  for (const line of service.out)
    expect(JSON.parse(line)).toMatchObject({
      level: expect.any(Number),
      time: expect.any(Number),
      event: expect.any(String),
    })
})
