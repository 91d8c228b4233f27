import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { ConfigError } from '../lib/config-error.js'
import { openModeOf } from '../lib/permissions.js'
import { sha256 } from '../lib/sha256.js'
import { nodeIdOf, normalizeKey, resultText } from '../wire/keys.js'

/** Who a node is: its key on secp256k1. */
export interface Identity {
  /** 33 bytes compressed, lower-case hex. */
  readonly publicKey: string
  /** ECDSA over SHA-256 of the UTF-8 text: 64 bytes compact, hex. */
  sign(text: string): string
}

/** The node_id of a node that was given none: it follows from the key, so it stays as long as the key does. */
export const defaultNodeId = ({ publicKey }: Identity): string => nodeIdOf(publicKey)

/** The signature of an attempt's output. */
export const signResult = (
  { sign }: Identity,
  { task_id, attempt, output }: { task_id: string; attempt: number; output: string },
): string => sign(resultText(task_id, attempt, sha256(output)))

/** A new identity that is kept nowhere. */
export function createIdentity(): Identity {
  return identityOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey)
}

/**
 * The identity kept in a PKCS#8 PEM file; made on first use, with mode 0600.
 * @throws ConfigError one line that tells what to do: the file cannot be read or made, is no such key, or is open to others
 */
export function loadIdentity(file: string): Identity {
  try {
    return create(file) ?? load(file)
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(
      `${file}: the node's key cannot be kept there (${error instanceof Error ? error.message : String(error)}); name another key_file`,
    )
  }
}

/** null when there is a file already. */
function create(file: string): Identity | null {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  let fd: number
  try {
    fd = openSync(file, 'wx', 0o600)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return null
    throw error
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
  try {
    writeSync(fd, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
    fsyncSync(fd)
  } catch (error) {
    unlinkSync(file) // half a key is worse than none
    throw error
  } finally {
    closeSync(fd)
  }
  return identityOf(privateKey)
}

function load(file: string): Identity {
  const fd = openSync(file, 'r')
  try {
    // Of the open file, so that what is checked is what is read.
    const mode = openModeOf(fstatSync(fd))
    if (mode !== null) {
      throw new ConfigError(
        `${file}: others on this machine can read the node's key (mode ${mode}); run: chmod 600 ${file}`,
      )
    }
    const key = readKey(readFileSync(fd, 'utf8'))
    if (key === null)
      throw new ConfigError(
        `${file}: is not a secp256k1 private key in PKCS#8 PEM; name another key_file, or remove it to have a new key made`,
      )
    return identityOf(key)
  } finally {
    closeSync(fd)
  }
}

function readKey(pem: string): KeyObject | null {
  try {
    const key = createPrivateKey(pem)
    return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'secp256k1' ? key : null
  } catch {
    return null // the caller says which file it was
  }
}

function identityOf(privateKey: KeyObject): Identity {
  const { x, y } = createPublicKey(privateKey).export({ format: 'jwk' })
  const hex = (part: string | undefined): string => Buffer.from(part ?? '', 'base64url').toString('hex')
  const publicKey = normalizeKey(`04${hex(x)}${hex(y)}`)
  if (publicKey === null) throw new ConfigError('the key has no public point on secp256k1')
  return {
    publicKey,
    sign: (text) => sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('hex'),
  }
}
