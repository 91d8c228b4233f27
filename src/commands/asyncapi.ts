import { defineCommand } from 'citty'
import { sessionProtocolDocument } from '../wire/asyncapi.js'

export default defineCommand({
  meta: { name: 'asyncapi', description: 'Print the session protocols as an AsyncAPI document' },
  run() {
    console.log(JSON.stringify(sessionProtocolDocument(), null, 2))
  },
})
