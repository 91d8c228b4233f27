import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ConfigError } from '../../src/lib/config-error.js'
import { describeNodeConfig, loadNodeConfig, type NodeFlags } from '../../src/inference-node/config.js'
import { createBackend } from '../../src/inference-node/create-backend.js'
import { INVITE } from '../../src/inference-node/invite.js'
import { makeToken } from '../../src/wire/token.js'
import { tempDir } from '../support/temp-dir.js'

const load = async (toml: string, flags: NodeFlags = {}, env: Record<string, string> = {}) => {
  const file = join(tempDir(), 'node.toml')
  await writeFile(file, toml)
  return { file, read: () => loadNodeConfig(file, flags, env) }
}
const coordinator = 'http://127.0.0.1:8080'

test('flags suffice: a coordinator and a model serve a local Ollama', () => {
  const config = loadNodeConfig(undefined, { coordinator, model: 'llama-3-8b' }, {})
  expect(config.node).toMatchObject({
    coordinator,
    models: ['llama-3-8b'],
    key_file: './data/node.key',
    max_concurrent_tasks: 1,
    drain_timeout: 600,
  })
  expect(config.backend).toMatchObject({ type: 'openai', base_url: 'http://127.0.0.1:11434/v1', stall_timeout: 120 })
  expect(config.apiKey).toBeUndefined()
  expect(createBackend(config, {}).shown).toBe('openai at http://127.0.0.1:11434/v1')
})

test('a flag beats the file, the file beats the default, and what comes out is frozen', async () => {
  const { read } = await load(
    `[node]\ncoordinator = "ws://file"\nmodels = ["a"]\nmax_concurrent_tasks = 2\nstate_dir = "/s"\n[backend]\nstall_timeout = 5\n[backend.models]\n"a" = "A"\n"b" = "B"`,
    {
      coordinator: 'ws://flag',
      model: 'b, c=C',
      maxConcurrentTasks: '7',
      backend: 'command',
      command: 'run  --me',
      nodeId: 'n',
      keyFile: 'k',
      baseUrl: 'http://x/v1',
      url: 'http://y',
    },
  )
  const config = read()
  expect(config.node).toMatchObject({
    coordinator: 'ws://flag',
    models: ['b', 'c'],
    max_concurrent_tasks: 7,
    node_id: 'n',
    key_file: 'k',
  })
  expect(config.backend).toMatchObject({
    type: 'command',
    command: 'run',
    args: ['--me'],
    stall_timeout: 5,
    base_url: 'http://x/v1',
    url: 'http://y',
    models: { a: 'A', b: 'B', c: 'C' },
  })
  expect(config.unsettledFolder).toBe('/s/unsettled')
  expect([config, config.node, config.backend].every(Object.isFrozen)).toBe(true)
})

test('without models in the file those of the mapping are served', async () => {
  const { read } = await load(`[node]\ncoordinator = "${coordinator}"\n[backend.models]\n"llama-3-8b" = "llama3:8b"`)
  expect(read().node.models).toEqual(['llama-3-8b'])
})

test('the API key comes from the environment variable that the file names', async () => {
  const named = await load(
    `[node]\ncoordinator = "${coordinator}"\n[backend]\napi_key_env = "MY_KEY"`,
    {},
    { MY_KEY: 'secret', OPENAI_API_KEY: 'other' },
  )
  expect(named.read().apiKey).toBe('secret')
  const missing = await load(`[node]\ncoordinator = "${coordinator}"\n[backend]\napi_key_env = "MY_KEY"`)
  expect(missing.read).toThrow(/backend.api_key_env names MY_KEY, but that environment variable is not set/)
})

test.each([
  ['unknown = 1', /unknown is not a known key/],
  ['[node]\ncolour = "red"', /node\.colour is not a known key/],
  ['[backend]\nmodel = "x"', /backend\.model is not a known key/],
  ['[node]\nmax_concurrent_tasks = "2"', /node\.max_concurrent_tasks must be an integer from 1 to 1024/],
  ['[node]\nmodels = "a"', /node\.models must be an array/],
  ['[node]\ncoordinator = "nowhere"', /node\.coordinator must be a ws, wss, http or https URL/],
  ['[node]\nnode_id = "a/b"', /node\.node_id must be/],
  ['node = 1', /: node /],
  ['[backend]\ntype = "magic"', /backend\.type must be one of "openai"/],
  ['[backend]\nbase_url = "ftp://x"', /backend\.base_url must be an http or https URL, such as "http:/],
  ['[backend]\nstall_timeout = 0', /backend\.stall_timeout must be a number of seconds from 1/],
  ['[backend.models]\na = 7', /backend\.models\.a must be/],
  ['[backend]\nenv = "PATH"', /backend\.env must be a list of names of environment variables/],
  ['[backend]\nenv = ["A=b"]', /backend\.env\.0 must be the name of an environment variable/],
  [
    `[node]\ncoordinator = "${coordinator}"\n[backend]\ntype = "command"\ncommand = "x"\nenv = ["NOT_SET_HERE"]`,
    /backend\.env names NOT_SET_HERE, but that environment variable is not set/,
  ],
  ['[node\n', /is not valid TOML/],
  ['[node]\nnode_id = "a"', /node\.coordinator is missing; .*--coordinator/],
  [`[node]\ncoordinator = "${coordinator}"\n[backend]\ntype = "generate"`, /backend\.url is missing; .*--url/],
  [`[node]\ncoordinator = "${coordinator}"\n[backend]\ntype = "command"`, /backend\.command is missing; .*--command/],
  [`[node]\ncoordinator = "${coordinator}"\n[backend]\ntype = "echo"`, /node\.models is missing; .*--model/],
])('%j is refused in one line that names the file and the key', async (toml, expected) => {
  const { file, read } = await load(toml)
  expect(read).toThrow(ConfigError)
  expect(read).toThrow(expected)
  expect(read).toThrow(new RegExp(`^${file.replaceAll('.', '\\.')}: [^\\n]*$`))
})

test.each<[NodeFlags, RegExp]>([
  [{ coordinator: 'nowhere' }, /^command line: node\.coordinator must be/],
  [{ coordinator, maxConcurrentTasks: 'many' }, /^command line: node\.max_concurrent_tasks must be an integer/],
  [{ coordinator, backend: 'magic' }, /^command line: backend\.type must be one of/],
  [{ coordinator, baseUrl: 'x' }, /^command line: backend\.base_url must be/],
  [{ coordinator, model: 'a=' }, /^command line: backend\.models\.a must be/],
  [{}, /^command line: node\.coordinator is missing/],
])('wrong flags %j are refused in one line', (flags, expected) => {
  expect(() => loadNodeConfig(undefined, flags, {})).toThrow(expected)
})

test('a file that is not there is refused in one line', () => {
  expect(() => loadNodeConfig('/nowhere/node.toml', {}, {})).toThrow(/^\/nowhere\/node\.toml: cannot be read[^\n]*$/)
})

test('every key has a description, and the example in config/node.toml is valid and uses the defaults', () => {
  const keys = describeNodeConfig()
  expect(keys.every(({ key, description }) => /^(node|backend)\.[a-z_]+$/.test(key) && description.length > 10)).toBe(
    true,
  )
  expect(keys.find((k) => k.key === 'node.max_concurrent_tasks')?.default).toBe(1)
  const example = loadNodeConfig('config/node.toml', {}, {})
  expect(example).toEqual(loadNodeConfig(undefined, { coordinator }, {}))
})

test('each type of backend is made from its settings', () => {
  const shown = (flags: NodeFlags): string =>
    createBackend(loadNodeConfig(undefined, { coordinator, model: 'a', ...flags }, {}), {}).shown
  expect(shown({ backend: 'echo' })).toBe('echo')
  expect(shown({ backend: 'generate', url: 'http://me:secret@x/generate?key=secret' })).toBe(
    'generate at http://x/generate',
  )
  expect(shown({ backend: 'command', command: 'model --key secret' })).toBe('command model')
})

test('what a node says that it understands is what its backend and its operator say', async () => {
  const featuresOf = async (toml: string, flags: NodeFlags = {}) =>
    createBackend((await load(`[node]\ncoordinator = "ws://x"\nmodels = ["a"]\n${toml}`, flags)).read(), {}).backend
      .features
  expect(await featuresOf('')).toEqual(['params', 'tools', 'images'])
  expect(await featuresOf('', { embeddings: true })).toEqual(['params', 'tools', 'images', 'embeddings'])
  expect(await featuresOf('[backend]\ntools = false\nimages = false\nembeddings = true')).toEqual([
    'params',
    'embeddings',
  ])
  for (const type of ['echo', 'command', 'generate'])
    expect(await featuresOf(`[backend]\ntype = "${type}"\nurl = "http://x"\ncommand = "x"`)).toBeUndefined()
  await expect(featuresOf('[backend]\nembeddings = "yes"')).rejects.toThrow('backend.embeddings must be true or false')
})

test('an invite comes from a file that only this user can read; a flag beats the file, and an empty one has none', async () => {
  const invites = [makeToken('inv').token, makeToken('inv').token] as const
  const [inFile, inFlag] = await Promise.all(
    [`${invites[0]}\n`, invites[1]].map(async (text) => {
      const file = join(tempDir(), 'invite')
      await writeFile(file, text, { mode: 0o600 })
      return file
    }),
  )
  const toml = `[node]\ncoordinator = "${coordinator}"\ninvite_file = "${inFile}"`
  const invite = async (flags: NodeFlags = {}, more = '') => (await load(`${toml}\n${more}`, flags)).read().node.invite
  expect(await invite()).toBe(invites[0])
  expect(await invite({ inviteFile: inFlag })).toBe(invites[1])
  expect(await invite({ inviteFile: inFlag }, `invite = "${invites[0]}"`)).toBe(invites[1])
  expect(await invite({ invite: invites[1] })).toBe(invites[1])
  await writeFile(inFile ?? '', '\n')
  expect(await invite()).toBeUndefined()
  await writeFile(inFile ?? '', 'sis_inv_x')
  await expect(invite()).rejects.toThrow(new ConfigError(`${inFile}: ${INVITE}, or be empty`))
  await chmod(inFile ?? '', 0o644)
  await expect(invite()).rejects.toThrow(`(mode 0644); run: chmod 600 ${inFile}`)
  await expect(invite({ inviteFile: '/nowhere' })).rejects.toThrow('node.invite_file: /nowhere cannot be read')
})
