import { defineCommand } from 'citty'
import { loadServiceConfig } from '../config.js'
import { ConfigError } from '../lib/config-error.js'
import { readKeyFile } from '../lib/data-keys.js'
import { checkDatabase } from '../store/maintenance/check.js'
import { printJson } from './print.js'

export default defineCommand({
  meta: {
    name: 'check',
    description: 'Verify a database without changing it; the exit code is 1 when something is wrong',
  },
  args: {
    config: {
      type: 'string',
      description: 'The configuration file (TOML) that names the database',
      valueHint: './config/signer.toml',
    },
    database: { type: 'string', description: 'The SQLite file; a backup too', valueHint: './data/inference.db' },
    json: { type: 'boolean', description: 'Print the findings as JSON' },
  },
  run({ args }) {
    const config =
      args.config === undefined ? null : loadServiceConfig(args.config, { database: args.database }).inference
    const file = config?.database_path ?? args.database
    if (file === undefined)
      throw new ConfigError('check: name a database with --database, or the configuration with --config')
    const findings = checkDatabase(file, config === null ? null : kidsOf(config.data_key_file))
    const ok = findings.every((f) => f.ok)
    if (args.json === true) printJson({ database: file, ok, findings })
    else
      for (const { rule, ok: kept, offenders } of findings)
        console.log(`${kept ? 'ok' : 'WRONG'}  ${rule}${kept ? '' : `: ${offenders.join('; ')}`}`)
    if (!ok) process.exitCode = 1
  },
})

/** The ids of the data keys that are configured. Nothing is told of the keys, so others may read the file here. */
const kidsOf = (file: string | undefined): string[] =>
  file === undefined ? [] : readKeyFile(file, { insecure: true }).map(({ kid }) => kid)
