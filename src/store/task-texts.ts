import { createTextSealer, type TextSealer } from '../lib/sealed-text.js'

/** Both texts of a submission. */
export interface Prompt {
  user_input: string
  context: string
}

/** The length of what a task says, in UTF-16 units: what memory and frames are bounded by. */
export const textLength = (t: Prompt & { signed_tx: string | null; params: string | null }): number =>
  t.user_input.length + t.context.length + (t.signed_tx?.length ?? 0) + (t.params?.length ?? 0)

/** Reads what was submitted encrypted for the signer, as it is stored. */
export interface EncryptedPrompts {
  /**
   * @param keys what is stored as `text_keys` with them
   * @throws Error when they cannot be read: a sentence
   */
  open(task_id: string, sent: Prompt, keys: string): Prompt
}

/** How texts are stored, and read again. */
export interface TextStorage {
  sealer: TextSealer
  encrypted: EncryptedPrompts
}

/** Texts are stored as they come, and none came encrypted. */
export const plainTexts: TextStorage = {
  sealer: createTextSealer([]),
  encrypted: {
    open(task_id) {
      throw new Error(`task ${task_id} was submitted encrypted, and here is no key of a signer to read it with`)
    },
  },
}

/** The texts of a task that are sealed. Its `error` may repeat a node's words. */
export type TextColumn = 'user_input' | 'context' | 'output' | 'error' | 'params' | 'result_notes'
/** The same, with what is stored of it elsewhere: the `url` of its callback. */
type SealedColumn = TextColumn | 'callback_url'

/** What a text begins with that is sealed, or looks so. */
export const MARK = 'enc'

export type TaskTexts = ReturnType<typeof createTaskTexts>

/**
 * The texts of tasks and attempts between memory and file. Without a data key a text is looked at for its first letters, in
 * either direction, and is stored as it is.
 */
export function createTaskTexts({ sealer, encrypted }: TextStorage) {
  const sealing = sealer.kid !== null
  const ofTask = (column: SealedColumn, task_id: string) => ({ table: 'inference_tasks', column, task_id })
  const ofAttempt = (task_id: string, attempt: number) => ({
    table: 'attempts',
    column: `error of attempt ${attempt}`,
    task_id,
  })
  /** An empty text is none: that there is nothing is seen by its size anyway. */
  const needsSeal = (text: string): boolean => (sealing && text !== '') || text.startsWith(MARK)
  const seal = (column: SealedColumn, task_id: string, text: string): string =>
    needsSeal(text) ? sealer.seal(ofTask(column, task_id), text) : text
  const open = (column: SealedColumn, task_id: string, stored: string): string =>
    stored.startsWith(MARK) ? sealer.open(ofTask(column, task_id), stored) : stored
  /** Both as they came. */
  const sent = ({ task_id, user_input, context }: Prompt & { task_id: string }): Prompt => ({
    user_input: open('user_input', task_id, user_input),
    context: open('context', task_id, context),
  })

  return {
    /** The data key that seals; null where texts are stored as they are. */
    kid: sealer.kid,
    /** Whether a text is not stored as the key of now would store it. */
    isOutdated: (stored: string): boolean => stored !== '' && sealer.isOutdated(stored),
    seal,
    /** @throws SealedTextError */
    open,
    sealOfAttempt: (task_id: string, attempt: number, error: string): string =>
      needsSeal(error) ? sealer.seal(ofAttempt(task_id, attempt), error) : error,
    /** @throws SealedTextError */
    openOfAttempt: (task_id: string, attempt: number, stored: string): string =>
      stored.startsWith(MARK) ? sealer.open(ofAttempt(task_id, attempt), stored) : stored,

    /** What a task's `texts_digest` is. @param prompt as it came */
    digest: (task_id: string, { user_input, context }: Prompt): string | null =>
      sealing ? sealer.digest(task_id, [user_input, context]) : null,

    /**
     * Whether a prompt is, as it came, the one that is stored.
     * @throws SealedTextError
     */
    isSame(stored: Prompt & { task_id: string; texts_digest: string | null }, came: Prompt): boolean {
      const { task_id, texts_digest } = stored
      if (texts_digest !== null) return sealer.isDigestOf(texts_digest, task_id, [came.user_input, came.context])
      const { user_input, context } = sent(stored)
      return user_input === came.user_input && context === came.context
    },

    sent,

    /**
     * What was asked, for who may read it, in place of how it is stored.
     * @throws SealedTextError, and Error when it came encrypted for a key that is not here
     */
    prompt(row: Prompt & { task_id: string; is_encrypted: number; text_keys: string | null }): Prompt {
      const came = sent(row)
      return row.is_encrypted === 1 ? encrypted.open(row.task_id, came, row.text_keys ?? '') : came
    },
  }
}
