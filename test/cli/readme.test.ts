import { execFile, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { cli, serviceChild } from '../support/child.js'
import { asking, blocksOf, runExample } from '../support/examples.js'
import { until } from '../support/wait.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const readmes = ['README.md', 'README.zh-CN.md'] as const
const read = (name: string): string => readFileSync(join(root, name), 'utf8')
describe.runIf(spawnSync('curl', ['--version']).status === 0).each(readmes)('%s', (name) => {
  test('a newcomer who follows it has a service, a node, and the answer that it shows', async () => {
    const page = read(name)
    const command = (word: string): string[] =>
      (new RegExp(`^npx stacks-signer (${word} .*)$`, 'm').exec(page)?.[1] ?? '').split(' ')
    const [run, flag, config] = command('run-inference-service')
    expect([run, flag]).toEqual(['run-inference-service', '--config'])
    // In a folder of its own, which the paths in the example configuration are relative to.
    const service = await serviceChild(join(root, config ?? ''))
    const node = command('run-inference-node')
      .join(' ')
      .replace('http://127.0.0.1:8080', service.url)
      .replace(/--base-url \S+/, '--backend echo')
    expect(node).toContain('--backend echo')
    cli(node.split(' '))
    await until(async () => (await service.get('/api/v1/stats')).body?.data.online_nodes === 1, 'the node online')

    const examples = blocksOf(name).filter((b) => b.language === 'bash' && b.text.startsWith('curl'))
    const print = async (text: string): Promise<string> =>
      (await promisify(execFile)('bash', ['-e', '-c', asking(text, service.url)])).stdout
    const curl = async (text: string): Promise<unknown> => JSON.parse(await print(text))
    const [submit, status, others] = examples.map((e) => e.text)
    expect(examples).toHaveLength(3)
    expect(await curl(submit ?? '')).toMatchObject({ success: true, data: { task_id: 'task-001' }, error: null })
    await until(async () => (await service.status('task-001')).status === 'completed', 'the task completed')
    const shown = blocksOf(name).find((b) => b.language === 'json')
    expect(await curl(status ?? '')).toMatchObject(JSON.parse(shown?.text ?? '') as object)
    const words = await print(others ?? '')
    expect(words).toContain('"task_id":"task-002","status":"completed"')
    expect(words).toMatch(/event: result\nid: 1\.\d+\.end\n/)
    expect(words.trimEnd().endsWith('data: [DONE]')).toBe(true)

    const [, question = '', model = ''] = /^npx stacks-signer ask "(.*)" --model (\S+)$/m.exec(page) ?? []
    const asked = cli(['ask', question, '--model', model], { env: { STACKS_SIGNER_URL: service.url } })
    expect({ ...(await asked.exit), out: asked.out, err: asked.err }).toEqual({
      code: 0,
      signal: null,
      out: [question],
      err: [],
    })
    const example = blocksOf(name).find((b) => b.language === 'js')?.text ?? ''
    const program = runExample(asking(example, service.url))
    expect({ ...(await program.exit), out: program.out, err: program.err }).toEqual({
      code: 0,
      signal: null,
      out: [question],
      err: [],
    })
  })
})

test('both READMEs have the same sections, tables and commands', () => {
  const [english, chinese] = readmes.map((name) => {
    const page = read(name)
    return {
      headings: [...page.matchAll(/^#+ /gm)].map(String),
      rows: [...page.matchAll(/^\|/gm)].length,
      steps: [...page.matchAll(/^\d\. /gm)].map(String),
      links: [...page.matchAll(/\]\((docs[^)]*)\)/g)].map((m) => m[1]),
      blocks: blocksOf(name),
    }
  })
  expect(chinese).toEqual(english)
  expect(english?.blocks.length).toBeGreaterThan(5)
})
