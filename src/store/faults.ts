/** Whether the file could not be written, rather than one operation being wrong. */
export function isStoreFault(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return false
  return /^SQLITE_(FULL|IOERR|READONLY|BUSY|LOCKED|CANTOPEN|CORRUPT|NOMEM|PROTOCOL|NOTADB)/.test(error.code)
}
