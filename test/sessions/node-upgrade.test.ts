import { expect, test } from 'vitest'
import { challenged, dial, hello } from '../support/node-session.js'
import { startService } from '../support/service.js'
import { upgrade } from '../support/raw-http.js'

test('a client that offers the subprotocol is answered with it', async () => {
  const service = await startService()
  expect((await dial(service)).socket.protocol).toBe('inference-node.v1')
})

test('a client that offers the subprotocol among others is answered with it', async () => {
  const service = await startService()
  expect((await dial(service, { protocols: ['inference-node.v9', 'inference-node.v1'] })).socket.protocol).toBe(
    'inference-node.v1',
  )
})

test('a client that offers no subprotocol is treated as version 1', async () => {
  const service = await startService()
  const { node, challenge } = await challenged(service, { protocols: [] })
  expect(node.socket.protocol).toBe('')
  node.say(hello(service, 'plain', challenge.nonce))
  await node.next('session.welcome')
})

test('a client that offers only other subprotocols gets HTTP 400 and a sentence that names the right one', async () => {
  const service = await startService()
  const answer = await upgrade(service, { 'sec-websocket-protocol': 'inference-node.v9, chat' })
  expect(answer.status).toBe(400)
  expect(JSON.parse(answer.body)).toMatchObject({
    success: false,
    data: null,
    code: 'invalid_request',
    error: expect.stringContaining('inference-node.v1'),
  })
})

test('an upgrade at another path is 404', async () => {
  const service = await startService()
  expect((await upgrade(service, {}, '/api/v1/nodes')).status).toBe(404)
})

test('compression is not agreed on even when a client offers it', async () => {
  const service = await startService()
  const answer = await upgrade(service, {
    'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits',
    'sec-websocket-protocol': 'inference-node.v1',
  })
  expect(answer.status).toBe(101)
  expect(answer.headers['sec-websocket-extensions']).toBeUndefined()
})
