import { readFileSync } from 'node:fs'
import { ConfigError } from '../lib/config-error.js'
import { openMode } from '../lib/permissions.js'
import { parseToken } from '../wire/token.js'

export const INVITE = 'must be an invite, copied whole: sis_inv_ and 46 letters and digits'
export const isInvite = (text: string): boolean => parseToken(text)?.kind === 'inv'

/**
 * The invite in a file; undefined where the file is empty, as it may be once the node was let in.
 * @throws ConfigError one line that names the file: it cannot be read, others can read it, or it holds no invite
 */
export function readInvite(file: string): string | undefined {
  const mode = openMode(file)
  if (mode !== null)
    throw new ConfigError(`${file}: others on this machine can read the invite (mode ${mode}); run: chmod 600 ${file}`)
  let text: string
  try {
    text = readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new ConfigError(
      `node.invite_file: ${file} cannot be read (${error instanceof Error ? error.message : String(error)})`,
    )
  }
  if (text === '') return undefined
  if (!isInvite(text)) throw new ConfigError(`${file}: ${INVITE}, or be empty`)
  return text
}
