import type { ErrorCode } from './codes.js'

/** Seconds a caller is asked to wait before it tries again. */
export const RETRY_AFTER_SECONDS = 5

/** The envelope of every answer: the three keys are always there. */
export const envelope = (data: unknown) => ({ success: true, data, error: null })
/** The same as text, around what is JSON already. */
export const envelopeText = (data: string): string => `{"success":true,"data":${data},"error":null}`

/**
 * The envelope of an error. `error` is for a person, `code` for a program.
 * @param owner of `not_owner`: the URL of the service that has the work; null where nobody knows it
 */
export const errorEnvelope = (code: ErrorCode, message: string, data: unknown = null, owner?: string | null) => ({
  success: false,
  data,
  error: message,
  code,
  ...(owner === undefined ? {} : { owner }),
})
