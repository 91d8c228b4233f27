import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { askLast } from '../../src/demo/last-question.js'
import { cli } from '../support/child.js'
import { accepted, speaker } from '../support/client.js'
import { connectNode } from '../support/node-session.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

test('the demo shows the whole service at work and ends by itself, well', async () => {
  const demo = cli(['demo'])
  const { code } = await demo.exit
  const shown = demo.out.join('\n')
  expect({ code, problems: demo.out.filter((l) => l.startsWith('WRONG')), err: demo.err }).toEqual({
    code: 0,
    problems: [],
    err: [],
  })
  expect(shown).toContain('gpu-doomed is killed in the middle')
  expect(shown).toContain('59 of 60 tasks are completed')
  // A payment that is mined, goes back to posted when its block has left the chain, and is mined again.
  const [, followed = '', before] = /the payment of (demo-\d\d) is mined, in block (\d+)/.exec(shown) ?? []
  expect(shown).toMatch(new RegExp(`the chain forks: its 2 newest blocks .*; that of ${followed} is back to posted`))
  const [, after] = new RegExp(`the payment of ${followed} is mined again, in block (\\d+)`).exec(shown) ?? []
  expect(Number(after)).toBeGreaterThan(Number(before))
  const [, total, nodes, taken] =
    /59 of 59 payments are confirmed: ([\d,]+) micro-STX to (\d) nodes\. A reorganisation took (\d+) of them back/.exec(
      shown,
    ) ?? []
  expect([Number(taken), Number(nodes)]).toEqual([expect.toSatisfy((n) => n >= 1), expect.toSatisfy((n) => n >= 3)])
  // What the chain has paid to each node, of the table.
  const rows = [...shown.matchAll(/^[\w()-]+(?: \(?\w+\))? +\d+ +\d+ +(\d+)  \S/gm)].map(([, amount]) => Number(amount))
  expect(rows.reduce((sum, amount) => sum + amount, 0)).toBe(Number(total?.replaceAll(',', '')))
  // The last question, word by word, of which the line is whole in the end.
  expect(shown).toMatch(/one question more, with the official openai client and nothing but baseURL: http:\S+\/v1/)
  expect(demo.out).toContain('You asked: What is left to ask? gemma2:9b says: 42.')
  expect(shown).toContain('Try next')
}, 120_000)

test.each(['SIGINT', 'SIGHUP'] as const)(
  '%s ends the demo with all that it has started, and leaves no file',
  async (signal) => {
    const dir = tempDir()
    const demo = cli(['demo'], { env: { TMPDIR: dir } })
    await until(() => (demo.out.some((l) => l.includes('three nodes are in session')) ? true : null), 'the nodes')
    demo.process.kill(signal)
    expect(await demo.exit).toEqual({ code: 130, signal: null })
    expect(readdirSync(dir)).toEqual([])
  },
  60_000,
)

test('where the official client is not installed, the client library asks the last question', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { supported_models: ['gemma-2-9b'] })
  const said: string[] = []
  const pieces: string[] = []
  const problem = askLast({
    url: service.url,
    user: 'ST1-SOMEBODY',
    say: (line) => void said.push(line),
    onText: (piece) => void pieces.push(piece),
    find: () => Promise.resolve(null),
  })
  const assigned = await accepted(node)
  speaker(node, assigned)('You asked: ')
  node.complete(assigned, `You asked: ${assigned.user_input}`)
  expect(await problem).toBeNull()
  expect(said).toEqual([expect.stringContaining('with the client library of this package')])
  expect(pieces.join('')).toBe('You asked: What is left to ask?\n')
})
