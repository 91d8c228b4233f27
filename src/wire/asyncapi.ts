import { toJsonSchema } from '@valibot/to-json-schema'
import type * as v from 'valibot'
import { closeCodes } from './codes.js'
import { NODE_PATH, NODE_PROTOCOL, nodeMessages, serverMessages } from './node.js'

const jsonSchema = (schema: v.GenericSchema): object => {
  const { $schema: _, ...rest } = toJsonSchema(schema, { typeMode: 'input', errorMode: 'ignore' })
  return rest
}

const messagesOf = (side: string, table: Record<string, v.GenericSchema>) =>
  Object.fromEntries(Object.entries(table).map(([type, schema]) => [`${side}.${type}`, { name: type, contentType: 'application/json', payload: jsonSchema(schema) }]))

const references = (names: string[]) => names.map((name) => ({ $ref: `#/channels/node/messages/${name.replaceAll('~', '~0').replaceAll('/', '~1')}` }))

/** The node session protocol as an AsyncAPI 3 document, made from the schemas that validate the messages. */
export function nodeProtocolDocument(): object {
  const fromNode = messagesOf('node', nodeMessages)
  const fromServer = messagesOf('server', serverMessages)
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Inference node session',
      version: '1.0.0',
      description:
        `How an inference node holds a session with the coordinator: WebSocket, subprotocol ${NODE_PROTOCOL}. One JSON object a text frame, or an array of 1 to 256 of them. ` +
        `Close codes: ${Object.entries(closeCodes).map(([name, c]) => `${c.code} ${name} (reconnect: ${c.reconnect})`).join(', ')}.`,
      license: { name: 'MIT' },
    },
    defaultContentType: 'application/json',
    channels: { node: { address: NODE_PATH, messages: { ...fromNode, ...fromServer }, bindings: { ws: { method: 'GET' } } } },
    operations: {
      receiveFromNode: { action: 'receive', channel: { $ref: '#/channels/node' }, messages: references(Object.keys(fromNode)) },
      sendToNode: { action: 'send', channel: { $ref: '#/channels/node' }, messages: references(Object.keys(fromServer)) },
    },
  }
}
