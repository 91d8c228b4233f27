import { defineCommand } from 'citty'
import { addDataKey, createKeyFile, type DataKey } from '../lib/data-keys.js'
import { keepFilesPrivate } from '../lib/permissions.js'
import { printJson } from './print.js'
import { refuseMore } from './service-call.js'

const LOST =
  'Keep a copy of this file apart from those of the database: who loses it has lost all texts under its keys.'

const keyCommand = (name: string, description: string, make: (file: string) => DataKey, done: string) =>
  defineCommand({
    meta: { name, description },
    args: {
      file: { type: 'positional', description: 'The key file', required: true, valueHint: 'FILE' },
      json: { type: 'boolean', description: 'Print the id of the key as JSON' },
    },
    run({ args }) {
      refuseMore(args._, 1)
      keepFilesPrivate()
      const { kid } = make(args.file)
      if (args.json === true) printJson({ file: args.file, key_id: kid })
      else console.log(`${args.file}: ${done} ${kid}`)
      console.error(LOST)
    },
  })

export default defineCommand({
  meta: { name: 'keys', description: 'Make the keys that texts are encrypted under in the database' },
  subCommands: {
    create: keyCommand(
      'create',
      'Make a key file, for inference.data_key_file',
      createKeyFile,
      'made, with the data key',
    ),
    add: keyCommand(
      'add',
      'Put a new key before those of a file; it encrypts from the next start on',
      addDataKey,
      'encrypts from the next start on with the data key',
    ),
  },
})
