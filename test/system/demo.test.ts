import { expect, test } from 'vitest'
import { cli } from '../support/child.js'

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
  expect(shown).toContain('Try next')
}, 120_000)
