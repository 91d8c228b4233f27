import { defineCommand } from 'citty'
import { loadServiceConfig } from '../config.js'
import { keepFilesPrivate } from '../lib/permissions.js'
import { backUp } from '../store/maintenance/backup.js'
import { printJson } from './print.js'

export default defineCommand({
  meta: {
    name: 'backup',
    description: 'Copy the database into a file, also while the service runs; the copy is verified',
  },
  args: {
    file: { type: 'positional', description: 'Where the backup goes', required: true, valueHint: './backup.db' },
    config: {
      type: 'string',
      description: 'The configuration file (TOML)',
      required: true,
      valueHint: './config/signer.toml',
    },
    database: { type: 'string', description: 'The SQLite file', valueHint: './data/inference.db' },
    force: { type: 'boolean', description: 'Overwrite the file' },
    json: { type: 'boolean', description: 'Print what was done as JSON' },
  },
  async run({ args }) {
    keepFilesPrivate()
    const { inference } = loadServiceConfig(args.config, { database: args.database })
    const bytes = await backUp(inference.database_path, args.file, {
      replace: args.force === true,
      maxWalBytes: inference.max_wal_bytes,
    })
    if (args.json === true) printJson({ file: args.file, database: inference.database_path, bytes })
    else console.log(`${args.file}: a verified backup of ${inference.database_path}, ${bytes} bytes`)
  },
})
