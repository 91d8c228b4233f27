/** The code of an error of SQLite or of the system; empty where there is none. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''

/** Whether the file itself is damaged: writing it again, or later, does not help. */
export const isDamage = (error: unknown): boolean => /^SQLITE_(CORRUPT|NOTADB)/.test(codeOf(error))

/** Whether the file could not be written, rather than one operation being wrong. */
export const isStoreFault = (error: unknown): boolean =>
  /^SQLITE_(FULL|IOERR|READONLY|BUSY|LOCKED|CANTOPEN|CORRUPT|NOMEM|PROTOCOL|NOTADB)/.test(codeOf(error))
