import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fitTable, harmless, oneLine, table } from '../../src/lib/table.js'
import { cutToWidth, textWidth } from '../../src/lib/text-width.js'
import { wrapHelp, wrapWords } from '../../src/lib/wrap.js'
import { configFile } from '../support/child.js'
import { startService } from '../support/service.js'
import { terminal, terminalChild } from '../support/terminal.js'
import { until } from '../support/wait.js'

test('a table has columns as wide as their widest cell, numbers to the right, and shows what has no shape', () => {
  expect(
    table(
      ['name', 'n'],
      [
        ['a', 1],
        ['longer', 100],
        [null, null],
        ['x\ny\u0007', 2],
      ],
    ),
  ).toEqual(['name      n', '--------  ---', 'a           1', 'longer    100', '-         -', 'x\\ny\\x07    2'])
})

test.each([
  ['abc', 3],
  ['Überraschung', 12],
  ['e\u0301', 1],
  ['模型', 4],
  ['カタカナ', 8],
  ['한국어', 6],
  ['\u1112\u1161\u11ab', 2],
  ['👍', 2],
  ['👍🏽', 2],
  ['❤\ufe0f', 2],
  ['🇩🇪', 2],
  ['Ａ', 2],
  ['', 0],
])('%j takes %i columns of a terminal', (text, width) => {
  expect(textWidth(text)).toBe(width)
})

test('wide characters stand in columns as wide as they are', () => {
  expect(
    table(
      ['node', 'status'],
      [
        ['老虎', 'online'],
        ['n', 'busy'],
      ],
    ),
  ).toEqual(['node  status', '----  ------', '老虎  online', 'n     busy'])
})

test('a text is cut between characters, and never wider than it may be', () => {
  expect(cutToWidth('abcdef', 4)).toBe('abc…')
  expect(cutToWidth('模型七', 4)).toBe('模…')
  expect(cutToWidth('模型', 4)).toBe('模型')
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), fc.integer({ min: 1, max: 20 }), (text, width) => {
      const line = oneLine(text)
      const cut = cutToWidth(line, width)
      expect(textWidth(cut)).toBeLessThanOrEqual(width)
      if (textWidth(line) <= width) expect(cut).toBe(line)
    }),
  )
})

const columns = [
  { title: 'id' },
  { title: 'far', importance: 1 },
  { title: 'near', importance: 3 },
  { title: 'text', importance: 2, shrinksTo: 6 },
  { title: 'none', importance: 4 },
]
const rows = [['id-1', 'ffffffff', 'nnnn', 'some long text', null]]

test('a table that does not fit leaves out what is empty, then cuts, then leaves out the least important columns', () => {
  const fitted = (width: number) => {
    const { lines, leftOut, cut } = fitTable(columns, rows, width)
    return { line: lines[2], leftOut, cut }
  }
  expect(fitted(Infinity)).toEqual({ line: 'id-1  ffffffff  nnnn  some long text  -', leftOut: [], cut: [] })
  expect(fitted(36)).toEqual({ line: 'id-1  ffffffff  nnnn  some long text', leftOut: ['none'], cut: [] })
  expect(fitted(30)).toEqual({ line: 'id-1  ffffffff  nnnn  some lo…', leftOut: ['none'], cut: ['text'] })
  expect(fitted(27)).toEqual({ line: 'id-1  nnnn  some long text', leftOut: ['far', 'none'], cut: [] })
  expect(fitted(15)).toEqual({ line: 'id-1  nnnn', leftOut: ['far', 'text', 'none'], cut: [] })
  // What may not be left out stays whole.
  expect(fitted(2)).toEqual({ line: 'id-1', leftOut: ['far', 'near', 'text', 'none'], cut: [] })
})

test('no line of a table is wider than it may be, unless what must be there is', () => {
  const cell = fc.oneof(fc.constant(null), fc.nat(), fc.string({ unit: 'grapheme', maxLength: 20 }))
  fc.assert(
    fc.property(
      fc.array(fc.tuple(cell, cell, cell, cell, cell), { maxLength: 5 }),
      fc.integer({ min: 1, max: 90 }),
      (rows, width) => {
        const must = Math.max(2, ...rows.map(([id]) => textWidth(oneLine(String(id ?? '-')))))
        const { lines, leftOut } = fitTable(columns, rows, width)
        for (const line of lines) expect(textWidth(line)).toBeLessThanOrEqual(Math.max(width, must))
        expect(leftOut).not.toContain('id')
      },
    ),
  )
})

test('what moves the cursor, turns the writing or is not seen is shown as an escape, and emoji stay', () => {
  expect(oneLine('a\u001b[2Jb\u202ec\u200bd\u3164e\ufe0ff\ud800\n')).toBe(
    'a\\x1b[2Jb\\u{202e}c\\u{200b}d\\u{3164}e\\u{fe0f}f\\u{d800}\\n',
  )
  expect(oneLine('❤\ufe0f 模型 👍🏽')).toBe('❤\ufe0f 模型 👍🏽')
  expect(harmless('a\r\n\tb\rc\u202e 👩\u200d🚀')).toBe('a\n\tb\\x0dc\\u{202e} 👩\u200d🚀')
})

test('help goes on below where a description began, and between words', () => {
  expect(wrapWords('one two three', 8)).toEqual(['one two', 'three'])
  expect(wrapWords('unbreakable', 4)).toEqual(['unbreakable'])
  expect(wrapHelp('  --flag    a text that is long\n  -x    short', 24)).toBe(
    '  --flag    a text that\n            is long\n  -x    short',
  )
})

/** `script` gives a command a terminal. */
describe.runIf(spawnSync('script', ['--version']).status === 0)('on a terminal of 80 columns', () => {
  const longNames = ['llama-3-8b', 'qwen2.5-coder:32b-instruct-q4_K_M', 'mistral']

  test('lists fit, say what is left out, and show all of it with --wide', async () => {
    const service = await startService()
    await service.register('老虎', { supported_models: longNames })
    const uuid = '01a213b2-0d89-7490-a6d1-24b6b7517848'
    await service.submit({ task_id: uuid })
    for (const list of [
      ['nodes', 'list'],
      ['tasks', 'list'],
    ]) {
      const fitted = await terminal([...list, '--url', service.url])
      for (const line of fitted) expect(textWidth(line), line).toBeLessThanOrEqual(80)
      expect(fitted.join(' ')).toMatch(/Left out: .*--wide shows everything\./)
      const wide = await terminal([...list, '--wide', '--url', service.url])
      expect(wide.join('\n')).not.toContain('Left out')
      expect(Math.max(...wide.map(textWidth))).toBeGreaterThan(80)
    }
  })

  test('a service says what started in one line, once', async () => {
    const child = terminalChild(['run-inference-service', '--config', configFile(), '--api-port', '0'])
    await until(() => child.printed().includes('listens on'), 'the start')
    child.type('\u0003')
    expect(await child.exit).toBe(0)
    const lines = child
      .printed()
      .split('\n')
      .map((line) => line.replace(/^\[[\d:]+\] /, ''))
    expect(lines.filter((line) => line.includes('listens on'))).toEqual([
      expect.stringMatching(
        /^INFO: stacks-signer \S+ listens on (http:\/\/127\.0\.0\.1:\d+); new database \S+; dashboard: \1\/dashboard\/$/,
      ),
    ])
    // A first start says what has to be done for others.
    expect(lines.filter((line) => line.includes('npx stacks-signer'))).toEqual([
      expect.stringContaining('tokens create --role admin'),
      expect.stringContaining('tokens create --role user'),
      expect.stringContaining('nodes invite'),
    ])
    expect(lines).toContainEqual(expect.stringMatching(/INFO: SIGINT: stopping; a second signal stops at once$/))
  })

  test('help fits', async () => {
    for (const line of await terminal(['tasks', 'submit', '--help'])) expect(line.length).toBeLessThanOrEqual(80)
  })
})
