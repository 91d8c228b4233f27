import type { ServiceConfig } from '../config.js'
import { ConfigError } from '../lib/config-error.js'
import { openMode } from '../lib/permissions.js'

/** The key of `config/signer.toml`, which everybody knows. */
const EXAMPLE_KEY = '01'.repeat(32)

/**
 * Looks whether the secrets of a coordinator are secret.
 * @param file the configuration file
 * @param insecure whether files that others can read are taken, and warned of
 * @returns what an operator should look at, as sentences
 * @throws ConfigError one line that says what to run or to change
 */
export function checkSecrets(
  file: string,
  { signer, callbacks, inference }: ServiceConfig,
  insecure: boolean,
): string[] {
  const isExample = signer.stacks_private_key.slice(0, EXAMPLE_KEY.length) === EXAMPLE_KEY
  if (isExample && signer.network === 'mainnet')
    throw new ConfigError(
      `${file}: signer.stacks_private_key is the public example key, from which anyone can spend; put your own there, or set signer.network to "testnet"`,
    )
  const secrets = [
    ...(isExample ? [] : [{ file, what: "the signer's key" }]),
    ...(callbacks === undefined ? [] : [{ file, what: 'the secret of callbacks' }]),
    ...(inference.tls_key === undefined ? [] : [{ file: inference.tls_key, what: 'the key of the certificate' }]),
    ...(inference.data_key_file === undefined ? [] : [{ file: inference.data_key_file, what: 'the data keys' }]),
  ]
  const open = secrets.flatMap(({ file, what }) => {
    const mode = openMode(file)
    return mode === null
      ? []
      : [`${file}: others on this machine can read ${what} (mode ${mode}); run: chmod 600 ${file}`]
  })
  const [first] = open
  if (first !== undefined && !insecure) throw new ConfigError(`${first}, or give --insecure-permissions`)
  return [
    ...(isExample ? [`${file}: signer.stacks_private_key is the public example key; put your own there`] : []),
    ...open,
  ]
}

/** What an operator should run for a database that others can read, as a sentence; null where they cannot. */
export function openDatabaseWarning(file: string): string | null {
  const files = [file, `${file}-wal`, `${file}-shm`]
  const open = files.flatMap((f) => openMode(f) ?? [])
  return open[0] === undefined
    ? null
    : `${file}: others on this machine can read the tasks in it (mode ${open[0]}); run: chmod 600 ${files.join(' ')}`
}
