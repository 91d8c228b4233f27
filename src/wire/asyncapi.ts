import { toJsonSchema } from '@valibot/to-json-schema'
import type * as v from 'valibot'
import { CLIENT_PATH, CLIENT_PROTOCOL, clientServerMessages } from './client-answers.js'
import { clientMessages } from './client.js'
import { closeCodes } from './codes.js'
import { NODE_PATH, NODE_PROTOCOL, nodeMessages, serverMessages } from './node.js'

const jsonSchema = (schema: v.GenericSchema): object => {
  const { $schema: _, ...rest } = toJsonSchema(schema, { typeMode: 'input', errorMode: 'ignore' })
  return rest
}

const messagesOf = (side: string, table: Record<string, v.GenericSchema>) =>
  Object.fromEntries(
    Object.entries(table).map(([type, schema]) => [
      `${side}.${type}`,
      { name: type, contentType: 'application/json', payload: jsonSchema(schema) },
    ]),
  )

type Channel = 'node' | 'task'
const references = (channel: Channel, names: string[]) =>
  names.map((name) => ({ $ref: `#/channels/${channel}/messages/${name.replaceAll('~', '~0').replaceAll('/', '~1')}` }))

/** A channel, and what is said over it in either direction: `who` is on the other side. */
function session(
  channel: Channel,
  who: 'Node' | 'Client',
  address: string,
  received: Record<string, object>,
  sent: Record<string, object>,
) {
  const operation = (action: 'receive' | 'send', messages: Record<string, object>) => ({
    action,
    channel: { $ref: `#/channels/${channel}` },
    messages: references(channel, Object.keys(messages)),
  })
  return {
    channel: { [channel]: { address, messages: { ...received, ...sent }, bindings: { ws: { method: 'GET' } } } },
    operations: { [`receiveFrom${who}`]: operation('receive', received), [`sendTo${who}`]: operation('send', sent) },
  }
}

/** The session protocols, of nodes and of submitters, as an AsyncAPI 3 document, made from the schemas that validate the messages. */
export function sessionProtocolDocument(): object {
  const node = session(
    'node',
    'Node',
    NODE_PATH,
    messagesOf('node', nodeMessages),
    messagesOf('server', serverMessages),
  )
  const client = session(
    'task',
    'Client',
    CLIENT_PATH,
    messagesOf('client', clientMessages),
    messagesOf('server', clientServerMessages),
  )
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Inference sessions',
      version: '1.5.0',
      description:
        `How inference nodes (subprotocol ${NODE_PROTOCOL}) and submitters of tasks (subprotocol ${CLIENT_PROTOCOL}) hold a session with the coordinator, over WebSocket. One JSON object a text frame, or an array of 1 to 256 of them. ` +
        `Close codes: ${Object.entries(closeCodes)
          .map(([name, c]) => `${c.code} ${name} (reconnect: ${c.reconnect})`)
          .join(', ')}.`,
      license: { name: 'MIT' },
    },
    defaultContentType: 'application/json',
    channels: { ...node.channel, ...client.channel },
    operations: { ...node.operations, ...client.operations },
  }
}
