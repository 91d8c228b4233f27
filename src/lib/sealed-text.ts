import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto'
import type { DataKey } from './data-keys.js'

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16

/** `enc1.<kid>.<base64 of iv, ciphertext and tag>` */
const SEALED = 'enc1.'
const KID_LENGTH = 8
const KID = new RegExp(`^[0-9a-f]{${KID_LENGTH}}$`)
/** Stands before a plain text that begins as ours do, so that nobody's words are taken for a sealed text. */
const ESCAPE = 'enc0.'
const OURS = /^enc[01]\./

/** Where a text is stored. A sealed text opens only there: nobody can put it into another row or column. */
export interface Place {
  table: string
  column: string
  task_id: string
}

/** A stored text that cannot be read. */
export class SealedTextError extends Error {
  override name = 'SealedTextError'
  constructor(
    /** `unknown_key`: the key that sealed it is not among ours. `damaged`: it is not as it was sealed, or is not in its place. */
    readonly reason: 'unknown_key' | 'damaged',
    message: string,
  ) {
    super(message)
  }
}

/** Texts as they are stored. */
export interface TextSealer {
  /** The key that seals; null when texts are stored as they are. */
  readonly kid: string | null
  /** A text as it is to be stored. */
  seal(place: Place, text: string): string
  /**
   * A text from how it was stored, sealed or not.
   * @throws SealedTextError
   */
  open(place: Place, stored: string): string
  /** Whether a stored text is not yet as `seal` would store it now: under an older key, or not sealed although there is a key. */
  isOutdated(stored: string): boolean
  /** What is kept of the texts of a submission, to know the same ones again without opening any: null without a key. */
  digest(task_id: string, texts: readonly (string | null)[]): string | null
  /**
   * Whether these texts are those of a digest.
   * @throws SealedTextError
   */
  isDigestOf(digest: string, task_id: string, texts: readonly (string | null)[]): boolean
}

/**
 * Seals the texts of tasks with AES-256-GCM, each task under a key of its own.
 * @param keys the first one seals, all of them open; none: texts are stored as they are
 */
export function createTextSealer(keys: readonly DataKey[]): TextSealer {
  const [first] = keys
  const byKid = new Map(keys.map((key) => [key.kid, createKeyring(key)]))
  if (byKid.size < keys.length) throw new Error('two data keys have the same id; make another one')
  const sealing = first === undefined ? undefined : byKid.get(first.kid)

  const ringOf = (kid: string): Keyring => {
    const ring = byKid.get(kid)
    if (ring !== undefined) return ring
    throw new SealedTextError(
      'unknown_key',
      `a stored text is encrypted under the data key ${kid}, which is not in the key file; put that key back`,
    )
  }

  return {
    kid: sealing?.kid ?? null,

    seal(place, text) {
      if (sealing === undefined) return OURS.test(text) ? ESCAPE + text : text
      const iv = nextIv()
      const cipher = createCipheriv(CIPHER, sealing.taskKey(place.task_id), iv).setAAD(aadOf(place))
      const bytes = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
      return `${SEALED}${sealing.kid}.${bytes.toString('base64')}`
    },

    open(place, stored) {
      if (stored.startsWith(ESCAPE)) return stored.slice(ESCAPE.length)
      const kid = kidOf(stored)
      if (kid === null) return stored
      const key = ringOf(kid).taskKey(place.task_id)
      const bytes = Buffer.from(stored.slice(SEALED.length + KID_LENGTH + 1), 'base64')
      const text = unseal(key, aadOf(place), bytes)
      if (text !== null) return text
      throw new SealedTextError(
        'damaged',
        `the ${place.column} of task ${place.task_id} cannot be decrypted: it is not as it was stored there`,
      )
    },

    isOutdated: (stored) => sealing !== undefined && kidOf(stored) !== sealing.kid,

    digest: (task_id, texts) =>
      sealing === undefined ? null : `${sealing.kid}.${sealing.digest(task_id, texts).toString('base64')}`,

    isDigestOf(digest, task_id, texts) {
      const expected = Buffer.from(digest.slice(KID_LENGTH + 1), 'base64')
      const actual = ringOf(digest.slice(0, KID_LENGTH)).digest(task_id, texts)
      return expected.length === actual.length && timingSafeEqual(expected, actual)
    },
  }
}

type Keyring = ReturnType<typeof createKeyring>

/** So many ivs are drawn at once: to ask for one costs as much as to encrypt a short text. */
const DRAWN_IVS = 256
let drawn = Buffer.alloc(0)
function nextIv(): Buffer {
  if (drawn.length === 0) drawn = randomBytes(IV_BYTES * DRAWN_IVS)
  const iv = drawn.subarray(0, IV_BYTES)
  drawn = drawn.subarray(IV_BYTES)
  return iv
}

/** What follows from one data key. */
function createKeyring({ kid, key }: DataKey) {
  const derive = (purpose: string): KeyObject =>
    createSecretKey(Buffer.from(hkdfSync('sha256', key, '', purpose, KEY_BYTES)))
  const digestKey = derive('digest')
  const taskKeys = derive('task')
  // One HMAC, a third of the time of a whole HKDF for each task.
  const taskKeyOf = (task_id: string): Buffer => createHmac('sha256', taskKeys).update(task_id).digest()
  /** The texts of a task come one after the other. */
  let last = { task_id: '', key: taskKeyOf('') }
  return {
    kid,
    taskKey(task_id: string): Buffer {
      if (last.task_id !== task_id) last = { task_id, key: taskKeyOf(task_id) }
      return last.key
    },
    /** Each text with its length before it, so that no two lists of texts are the same bytes. */
    digest(task_id: string, texts: readonly (string | null)[]): Buffer {
      const hmac = createHmac('sha256', digestKey)
      for (const text of [task_id, ...texts]) {
        hmac.update(text === null ? 'null,' : `${Buffer.byteLength(text)},`)
        if (text !== null) hmac.update(text)
      }
      return hmac.digest()
    },
  }
}

const aadOf = ({ table, column, task_id }: Place): Buffer => Buffer.from(JSON.stringify([table, column, task_id]))

/** The key of a sealed text; null of a plain one. */
function kidOf(stored: string): string | null {
  if (!stored.startsWith(SEALED) || stored.charAt(SEALED.length + KID_LENGTH) !== '.') return null
  const kid = stored.slice(SEALED.length, SEALED.length + KID_LENGTH)
  return KID.test(kid) ? kid : null
}

/** null where it is too short, or the tag does not fit. */
function unseal(key: Buffer, aad: Buffer, bytes: Buffer): string | null {
  const end = bytes.length - TAG_BYTES
  if (end < IV_BYTES) return null
  const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAAD(aad).setAuthTag(bytes.subarray(end))
  const plain = decipher.update(bytes.subarray(IV_BYTES, end))
  try {
    decipher.final()
  } catch {
    return null // the caller says what it means
  }
  return plain.toString('utf8')
}
