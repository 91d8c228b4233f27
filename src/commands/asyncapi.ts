import { defineCommand } from 'citty'
import { nodeProtocolDocument } from '../wire/asyncapi.js'

export default defineCommand({
  meta: { name: 'asyncapi', description: 'Print the session protocol as an AsyncAPI document' },
  run() {
    console.log(JSON.stringify(nodeProtocolDocument(), null, 2))
  },
})
