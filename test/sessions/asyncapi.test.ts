import { Ajv } from 'ajv'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { sessionProtocolDocument } from '../../src/wire/asyncapi.js'
import { clientServerMessages } from '../../src/wire/client-answers.js'
import { clientMessages } from '../../src/wire/client.js'
import { nodeMessages, serverMessages } from '../../src/wire/node.js'
import { startService } from '../support/service.js'

const published = JSON.parse(
  readFileSync(new URL('../../docs/node-session.asyncapi.json', import.meta.url), 'utf8'),
) as Record<string, unknown>

test('the published document is the one the schemas make: who changes a message decides on the version and runs npm run asyncapi', () => {
  expect(published).toEqual(JSON.parse(JSON.stringify(sessionProtocolDocument())))
})

test('the document names every message, and every reference in it leads somewhere', () => {
  const text = JSON.stringify(published)
  for (const type of [
    ...Object.keys(nodeMessages),
    ...Object.keys(serverMessages),
    ...Object.keys(clientMessages),
    ...Object.keys(clientServerMessages),
  ])
    expect(text).toContain(`"name":"${type}"`)
  const references = [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map((m) => m[1] ?? '')
  expect(references.length).toBeGreaterThan(10)
  for (const reference of references) {
    const target = reference
      .split('/')
      .reduce<unknown>(
        (at, key) => (at as Record<string, unknown> | undefined)?.[key.replaceAll('~1', '/').replaceAll('~0', '~')],
        published,
      )
    expect(target, reference).toBeDefined()
  }
})

test('the schema of every message is one', () => {
  const { channels } = published as {
    channels: Record<string, { messages: Record<string, { name: string; payload: object }> }>
  }
  const ajv = new Ajv({ strictSchema: true, strictTypes: false, allErrors: true })
  for (const { messages } of Object.values(channels)) {
    for (const { name, payload } of Object.values(messages)) {
      const validate = ajv.compile(payload)
      expect([name, validate({ type: `not ${name}` })]).toEqual([name, false])
      expect(validate.errors).toContainEqual(expect.objectContaining({ instancePath: '/type', keyword: 'const' }))
    }
  }
})

test('the service serves the document', async () => {
  const service = await startService()
  expect((await service.get('/api/v1/asyncapi.json')).body).toEqual(published)
})
