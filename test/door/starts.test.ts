import { expect, test } from 'vitest'
import { as, startGuarded } from '../support/access.js'
import { startService } from '../support/service.js'

test('a start with other settings is in the audit, once', async () => {
  const first = await startGuarded()
  await first.stop()
  const starts = async (service: typeof first) => {
    const { body } = await as(service, first.admin).get('/api/v1/audit?action=service.started')
    return (body?.data as { entries: unknown[] }).entries.length
  }
  const start = async (settings: Parameters<typeof startService>[0]) => {
    const service = await startService({ database_path: first.file, ...settings })
    const n = await starts({ ...first, ...service })
    await service.stop()
    return n
  }
  expect(await start({})).toBe(1)
  expect(await start({ max_attempts: 7 })).toBe(2)
  expect(await start({ max_attempts: 7 })).toBe(2)
})
