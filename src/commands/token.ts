import { readFileSync } from 'node:fs'
import { ConfigError } from '../lib/config-error.js'
import { openMode } from '../lib/permissions.js'
import { parseToken } from '../wire/token.js'

/**
 * The token that a command shows to the service: of the file, else of the environment; null where there is none. It is never a flag:
 * other users of a machine see the flags of its programs.
 * @param file the value of `--token-file`
 * @throws ConfigError when it cannot be read, or is none
 */
export function readToken(file: string | undefined): string | null {
  const { STACKS_SIGNER_TOKEN: variable = '' } = process.env
  const [source, text] = file === undefined ? ['STACKS_SIGNER_TOKEN', variable] : [file, contentOf(file)]
  const token = text.trim()
  if (token === '' && file === undefined) return null
  if (parseToken(token) === null)
    throw new ConfigError(
      `${source}: holds no token, or a mistyped one; a token begins with sis_ and has 54 characters`,
    )
  return token
}

function contentOf(file: string): string {
  const mode = openMode(file)
  if (mode !== null)
    throw new ConfigError(
      `--token-file: others on this machine can read ${file} (mode ${mode}); run: chmod 600 ${file}`,
    )
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(
      `--token-file: ${file} cannot be read (${error instanceof Error ? error.message : String(error)})`,
    )
  }
}
