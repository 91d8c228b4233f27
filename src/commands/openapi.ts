import { defineCommand } from 'citty'
import { restDocument } from '../contract/openapi.js'

export default defineCommand({
  meta: { name: 'openapi', description: 'Print the REST contract as an OpenAPI document' },
  run() {
    console.log(JSON.stringify(restDocument(), null, 2))
  },
})
