/** What was asked: how it is called in sentences, and where it is. */
export interface Peer {
  /** Begins each sentence: "http://pool.example.org", "the model server at ...". */
  subject: string
  /** Whether it was asked by TLS. */
  secure: boolean
  /** With the port, where the URL has one. */
  host: string
}

const UNREACHABLE: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the name cannot be looked up now',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that host',
  ETIMEDOUT: 'the host does not answer',
  UND_ERR_CONNECT_TIMEOUT: 'the host does not answer',
}
const CERTIFICATE: Record<string, string> = {
  CERT_HAS_EXPIRED: 'that has expired; it needs a new one',
  CERT_NOT_YET_VALID: 'that is not valid yet; is the clock of this machine right?',
  ERR_TLS_CERT_ALTNAME_INVALID: 'for another name; use the name that it is for',
}
const UNTRUSTED =
  'that nobody has signed who is trusted here; if it is the right one, name its file in NODE_EXTRA_CA_CERTS'
const UNTRUSTED_CODE = /^(DEPTH_ZERO_)?SELF_SIGNED|^UNABLE_TO_|^CERT_UNTRUSTED$|^INVALID_CA$/
/** A plain answer, read as TLS. */
const NO_TLS = /wrong version number|packet length too long|WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG/

/** One sentence: why a connection was not made, or gave no answer, and what to try. */
export function explainNetworkError({ subject, secure, host }: Peer, error: unknown): string {
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  const unreachable = UNREACHABLE[code]
  if (unreachable !== undefined) return `${subject} cannot be reached (${code}): ${unreachable}`
  const certificate = CERTIFICATE[code] ?? (UNTRUSTED_CODE.test(code) ? UNTRUSTED : undefined)
  if (certificate !== undefined) return `${subject} has a certificate ${certificate} (${code})`
  if (NO_TLS.test(`${code} ${message}`)) return `${subject} does not speak TLS: try http://${host}`
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_'))
    return `${subject} and this program agree on no TLS (${/SSL routines:[^:]*:([^:]+)/.exec(message)?.[1] ?? code})`
  const tryTls = secure ? '' : `: if it speaks TLS, try https://${host}`
  if (code.startsWith('HPE_') || (error instanceof Error && error.name === 'HTTPParserError'))
    return `${subject} does not speak HTTP${tryTls}`
  if (['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'].includes(code))
    return `${subject} closed the connection without an answer (${code})${tryTls}`
  return `${subject} cannot be reached (${code === '' ? (message.split('\n')[0] ?? '') : code})`
}

/** Whether there was no way to the host at all, or nothing there. */
export const isUnreachable = (error: unknown): boolean => codeOf(error) in UNREACHABLE

/** Where several addresses were tried the error of the first counts. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  if ('code' in error && typeof error.code === 'string') return error.code
  return error instanceof AggregateError && error.errors.length > 0 ? codeOf(error.errors[0]) : ''
}
