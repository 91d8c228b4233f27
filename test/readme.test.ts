import { execFile, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { describeServiceConfig, loadServiceConfig } from '../src/config.js'
import { describeNodeConfig, loadNodeConfig } from '../src/inference-node/config.js'
import { startService } from './helpers.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (name: string): string => readFileSync(join(root, name), 'utf8')
const readmes = ['README.md', 'README.zh-CN.md']
/** The blocks of a page that a person would paste into a shell. */
const blocks = (page: string): string[] => [...page.matchAll(/```bash\n([\s\S]*?)```/g)].map((m) => m[1] ?? '')

describe.runIf(spawnSync('curl', ['--version']).status === 0).each(readmes)('%s', (name) => {
  test('the curl examples work when they are pasted one after the other', async () => {
    const service = await startService()
    const examples = blocks(read(name)).filter((b) => b.startsWith('curl'))
    expect(examples.length).toBeGreaterThan(4)
    const script = examples
      .join('echo\n')
      .replaceAll('http://127.0.0.1:8080', service.url)
      .replaceAll('curl -sS', 'curl -sS -w "\\n"')
    const { stdout } = await promisify(execFile)('bash', ['-e', '-c', script])
    const answers = stdout.split('\n').filter((l) => l.trim() !== '')
    expect(answers.length).toBe([...script.matchAll(/^curl /gm)].length)
    for (const answer of answers) expect(JSON.parse(answer)).toMatchObject({ success: true, error: null })
    expect(await service.status('task-001')).toMatchObject({ status: 'completed' })
    expect(await service.status('task-003')).toMatchObject({ status: 'pending', attempts: 1 })
  })
})

test.each(readmes)('%s names every key of the configuration with its default', (name) => {
  const page = read(name)
  for (const { key, default: value } of [...describeServiceConfig(), ...describeNodeConfig()]) {
    expect(page).toContain(`| \`${key}\` | ${value === undefined ? '–' : `\`${JSON.stringify(value)}\``} |`)
  }
})

test('the pages name only scripts and files that are there', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const pages = [
    ...readmes,
    ...readdirSync(join(root, 'docs'))
      .filter((f) => f.endsWith('.md'))
      .map((f) => `docs/${f}`),
  ]
    .map(read)
    .join('\n')
  for (const [, script] of pages.matchAll(/npm run ([a-z][a-z0-9:_-]*)/g))
    expect(Object.keys(scripts)).toContain(script)
  for (const [, file] of pages.matchAll(/\]\(((?!http)[^)#]+)\)/g)) expect(() => read(file ?? '')).not.toThrow()
})

test('the example configurations are valid as they are', () => {
  expect(loadServiceConfig(join(root, 'config/signer.toml'), {}).inference).toMatchObject({
    database_path: './data/inference.db',
    api_port: 8080,
    api_host: '127.0.0.1',
  })
  expect(loadNodeConfig(join(root, 'config/node.toml'), {}, {}).node.coordinator).toBe('http://127.0.0.1:8080')
})
