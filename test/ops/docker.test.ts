import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { as } from '../support/access.js'
import { listening, readOps, root, runDeployed, says, stopped, writePrivate, yaml } from '../support/deployed.js'
import { noPromtool, promtool } from '../support/prometheus.js'
import { task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

const folder = join(root, 'ops/docker')
const dockerfile = readOps('docker/Dockerfile').replace(/\\\n\s*/g, '')
const compose = yaml(readOps('docker/compose.yaml'))
const services: Record<string, any> = compose.services // oxlint-disable-line typescript/no-explicit-any -- as it is written
const names = Object.keys(services)

/** What a target of the Dockerfile says, by instruction. */
const target = (name: string): { instruction: string; rest: string }[] => {
  const [, stage = ''] =
    new RegExp(`^FROM \\S+ AS ${name}\\n([\\s\\S]*?)(?=^FROM |$(?![\\s\\S]))`, 'm').exec(dockerfile) ?? []
  return [...stage.matchAll(/^([A-Z]+) (.*)$/gm)].map(([, instruction = '', rest = '']) => ({ instruction, rest }))
}
/** The words of an instruction in its exec form, in which no shell stands between a signal and the program. */
const words = (stage: string, instruction: string): string[] => {
  const rest = target(stage).find((line) => line.instruction === instruction)?.rest ?? '[]'
  return JSON.parse(rest.slice(rest.indexOf('['))) as string[]
}
/** A value of a compose file as it is without a variable of the environment. */
const plain = (text: string): string => text.replace(/\$\{\w+:-([^}]*)\}/g, '$1').replaceAll('$$', '$')

/** The volumes and files of a service, by where they are in its container. Files are relative to ops/docker. */
function mounts(name: string): { at: string; volume?: string; file?: string }[] {
  const { volumes = [], secrets = [], configs = [] } = services[name]
  return [
    ...volumes.map((text: string) => {
      const [from = '', at = ''] = text.split(':')
      return from.startsWith('.') ? { at, file: from } : { at, volume: from }
    }),
    ...secrets.map((secret: string) => ({ at: `/run/secrets/${secret}`, file: plain(compose.secrets[secret].file) })),
    ...configs.map((c: { source: string; target: string }) => ({ at: c.target, file: compose.configs[c.source].file })),
  ]
}

test('the Dockerfile takes what is there, and lets through what it takes; its images are not of root, and have a volume', () => {
  const allowed = [...readOps('docker/Dockerfile.dockerignore').matchAll(/^!(.*)$/gm)].map(([, path = '']) => path)
  expect(allowed.filter((path) => !existsSync(join(root, path)))).toEqual([])
  const taken = target('build').flatMap(({ instruction, rest }) =>
    instruction === 'COPY' ? rest.split(' ').slice(0, -1) : [],
  )
  expect(taken).toContain('package-lock.json')
  expect(taken.filter((path) => path !== '.' && !allowed.includes(path))).toEqual([])
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  for (const [, script = ''] of dockerfile.matchAll(/npm run (\S+)/g)) expect(scripts).toHaveProperty(script)
  for (const stage of ['node', 'coordinator']) {
    const lines = target(stage).map(({ instruction, rest }) => `${instruction} ${rest}`)
    expect(lines).toEqual(expect.arrayContaining(['USER 1000:1000', 'VOLUME /data', 'WORKDIR /']))
    const [program, file = ''] = words(stage, 'ENTRYPOINT')
    expect([program, existsSync(file.replace('/app', root))]).toEqual(['node', true])
  }
})

test('all that compose.yaml names is there, and all that it has is named', () => {
  const all = names.flatMap(mounts)
  for (const { file } of all)
    if (file !== undefined) expect([file, existsSync(join(folder, file))]).toEqual([file, true])
  const named = all.flatMap(({ volume }) => volume ?? [])
  expect([...new Set(named)].sort()).toEqual(Object.keys(compose.volumes).sort())
  for (const name of names) {
    const { build, depends_on = {}, profiles = [] } = services[name]
    if (build !== undefined) {
      expect(resolve(folder, build.context)).toBe(resolve(root))
      expect(existsSync(join(root, build.dockerfile))).toBe(true)
      expect(target(build.target)).not.toEqual([])
      expect(services[name]).toMatchObject({ read_only: true, cap_drop: ['ALL'], init: true })
    }
    expect(names).toEqual(expect.arrayContaining(Object.keys(depends_on)))
    expect(['demo', 'gpu', 'watch', undefined]).toContain(profiles[0])
  }
  // Nothing of it is to be reached from other machines.
  const ports = names.flatMap((name) => services[name].ports ?? [])
  expect(ports.length).toBeGreaterThan(2)
  expect(ports.filter((port: string) => !port.startsWith('127.0.0.1:'))).toEqual([])
})

test.runIf(process.platform === 'linux')(
  'what compose.yaml starts lets its node in and works, for who has a token, as a user who can write nothing but the volumes',
  async () => {
    const dir = tempDir()
    // An address of its own, for the names and ports are those of the file.
    const address = `127.${40 + (process.pid >> 16)}.${(process.pid >> 8) & 255}.${process.pid & 255}`
    const place = (name: string, text: string): string =>
      mounts(name)
        .reduce((t, { at, volume }) => (volume === undefined ? t : t.replaceAll(at, join(dir, volume))), plain(text))
        .replaceAll('/run/secrets/', join(dir, name, 'secrets/'))
        .replaceAll('/etc/stacks-inference/', join(dir, name, 'etc/'))
        .replaceAll(/0\.0\.0\.0|(?<=[/"])coordinator(?=:\d)/g, address)
        .replaceAll(/(?<![\d.])(?=8080|9464|9465)/g, '2')
    const run = (name: string, command: string[]) => {
      for (const { at, volume, file } of mounts(name)) {
        if (volume !== undefined) writePrivate(join(dir, volume, '.there'), '')
        else if (file !== undefined)
          writePrivate(place(name, at), place(name, readFileSync(join(folder, file), 'utf8')))
      }
      return runDeployed(
        command.map((word) => place(name, word)),
        dir,
      )
    }
    const { entrypoint, command } = services['invite']
    const invite = run('invite', [...entrypoint, ...command])
    expect(await invite.exit).toEqual({ code: 0, signal: null })
    expect(readFileSync(join(dir, 'invite/token'), 'utf8')).toMatch(/^sis_inv_\w{46}\n$/)
    expect(statSync(join(dir, 'invite/token')).mode & 0o777).toBe(0o600)

    // All at once, as after a start of the machine: the node comes back until there is a coordinator.
    const coordinator = run('coordinator', [...words('coordinator', 'ENTRYPOINT'), ...services['coordinator'].command])
    const node = run('demo-node', [...words('node', 'ENTRYPOINT'), ...services['demo-node'].command])
    const making = 'stacks-signer tokens create --role admin --name me --config /run/secrets/signer.toml'
    const made = run('coordinator', making.split(' '))
    const asked = await listening(coordinator)
    expect(asked.url).toBe(`http://${address}:28080`)
    expect((await asked.get('/api/v1/tasks')).status).toBe(401)
    await says(node, 'node.connected')
    expect(await made.exit).toEqual({ code: 0, signal: null })
    const admin = as(asked, made.out[0] ?? '')
    await until(async () => (await admin.get('/api/v1/tasks')).status === 200, 'the token known to the service')
    const answer = await admin.post('/api/v1/tasks?wait=30', task({ user_input: 'hello' }))
    expect(answer.body?.data).toMatchObject({ status: 'completed', result: { output: 'hello' } })

    // What Prometheus of the file scrapes, and what the image asks for its health.
    const [service, nodes] = yaml(readOps('docker/prometheus.yml')).scrape_configs
    const [scraped] = service.static_configs[0].targets
    expect(await (await fetch(`http://${place('coordinator', `/${scraped}`).slice(1)}/metrics`)).text()).toContain(
      'inference_tasks',
    )
    const { names: hosts, port } = nodes.dns_sd_configs[0]
    expect(names).toEqual(expect.arrayContaining(hosts))
    expect(await (await fetch(`http://${address}:2${port}/metrics`)).text()).toContain('inference_node_session_up 1')
    const health = run('coordinator', [...words('coordinator', 'HEALTHCHECK'), '--url', asked.url])
    expect({ ...(await health.exit), out: health.out }).toEqual({ code: 0, signal: null, out: ['healthy'] })

    expect(await stopped(node)).toEqual({ code: 0, signal: null })
    expect(await stopped(coordinator)).toEqual({ code: 0, signal: null })
  },
)

test('the command of the image serves behind a proxy, and says what is missing without a token', async () => {
  const [config = ''] = words('coordinator', 'CMD').filter((word) => word.endsWith('.toml'))
  const run = (settings: string) => {
    const dir = tempDir()
    writePrivate(join(dir, 'signer.toml'), settings)
    const command = [...words('coordinator', 'ENTRYPOINT'), ...words('coordinator', 'CMD')]
    return runDeployed(
      command.map((word) => (word === config ? join(dir, 'signer.toml') : word)),
      dir,
    )
  }
  // The example, whose data is in the volume: relative paths begin at /.
  const example = readFileSync(join(root, 'config/signer.toml'), 'utf8').replace('api_port = 8080', 'api_port = 0')
  const open = run(example)
  const proxied = run(`${example}\ntrusted_proxies = ["10.0.0.0/8"]\n[inference.auth]\nmode = "on"\n`)
  const asked = await listening(proxied)
  expect((await asked.get('/health')).status).toBe(200)
  expect(await stopped(proxied)).toEqual({ code: 0, signal: null })
  expect((await open.exit).code).toBe(2)
  expect(open.err.join()).toContain('0.0.0.0 lets anybody in: make a token')
})

test('Grafana is given its data source and the board where it looks for them', () => {
  const at = Object.fromEntries(mounts('grafana').map(({ at, file, volume }) => [at, file ?? volume]))
  const source = at['/etc/grafana/provisioning/datasources/inference.yml'] ?? ''
  const [{ type, url }] = yaml(readFileSync(join(folder, source), 'utf8')).datasources
  expect([type, names.includes(new URL(url).hostname)]).toEqual(['prometheus', true])
  const boards = at['/etc/grafana/provisioning/dashboards/inference.yml'] ?? ''
  const [{ options }] = yaml(readFileSync(join(folder, boards), 'utf8')).providers
  const home: string = services['grafana'].environment.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH
  expect([dirname(home), at[home]]).toEqual([options.path, '../grafana/inference.json'])
})

describe.skipIf(noPromtool !== null)(noPromtool ?? 'with promtool', () => {
  test('the configuration of Prometheus is right, with its rules where compose.yaml puts them', async () => {
    const dir = tempDir()
    for (const { at, file } of mounts('prometheus'))
      if (file !== undefined)
        writeFileSync(join(dir, at.replace('/etc/prometheus/', '')), readFileSync(join(folder, file)))
    const { code, text } = await promtool(['check', 'config', join(dir, 'prometheus.yml')])
    expect([code, text]).toEqual([0, expect.stringMatching(/SUCCESS: \d+ rules found/)])
  })
})
