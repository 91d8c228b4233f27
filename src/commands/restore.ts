import { defineCommand } from 'citty'
import { loadServiceConfig } from '../config.js'
import { keepFilesPrivate } from '../lib/permissions.js'
import { restoreBackup } from '../store/maintenance/restore.js'
import { printJson } from './print.js'

export default defineCommand({
  meta: {
    name: 'restore',
    description: 'Put a backup in the place of the database; the service must not run, the old database is kept',
  },
  args: {
    file: { type: 'positional', description: 'The backup', required: true, valueHint: './backup.db' },
    config: {
      type: 'string',
      description: 'The configuration file (TOML)',
      required: true,
      valueHint: './config/signer.toml',
    },
    database: { type: 'string', description: 'The SQLite file that is replaced', valueHint: './data/inference.db' },
    json: { type: 'boolean', description: 'Print what was done as JSON' },
  },
  async run({ args }) {
    keepFilesPrivate()
    const { database_path } = loadServiceConfig(args.config, { database: args.database }).inference
    const { bytes, tasks, kept } = await restoreBackup(args.file, database_path, Date.now())
    if (args.json === true) return printJson({ database: database_path, file: args.file, tasks, bytes, kept })
    console.log(`${database_path}: restored from ${args.file}, ${tasks} tasks, ${bytes} bytes`)
    if (kept !== null) console.log(`${kept}: the database that was there before; delete it when you no longer need it`)
  },
})
