import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { bundleClient } from '../support/client-bundle.js'

test('for a page the client is at most 15 kB gzipped, and holds nothing but its own code and valibot', async () => {
  const { code, parts } = await bundleClient()
  const bytes = gzipSync(code, { level: 9 }).length
  expect(bytes).toBeLessThanOrEqual(15_000)
  expect(bytes).toBeGreaterThan(5000)
  // `ws` is left out of pages by itself: what stands for it there throws when it is used.
  const foreign = parts.filter(
    (part) => !/^src\/(client|wire|lib)\/|node_modules\/valibot\/|node_modules\/ws\/browser\.js$/.test(part),
  )
  expect(foreign).toEqual([])
  // A bundler for browsers fails with what only Node has.
  expect(code).not.toMatch(/\brequire\(|node:|\bprocess\.|\bBuffer\b/)
})
