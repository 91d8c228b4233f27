import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { ConfigError } from '../lib/config-error.js'

/** How often the files are looked at, ms. */
const CHECK_INTERVAL_MS = 60_000
const DAY_MS = 86_400_000
/** From so many days before its end on a certificate is warned of. */
const WARNING_DAYS = 14

export interface CertificateFiles {
  cert: string
  key: string
}

export interface Certificate {
  /** PEM. */
  cert: Buffer
  key: Buffer
  /** When the certificate of the service, the first of the chain, ends; wall clock, ms. */
  ends: number
}

/**
 * A certificate chain and its key, so checked that a server can use them.
 * @throws ConfigError one line that names the setting, the file and what is wrong with it
 */
export function readCertificate(files: CertificateFiles): Certificate {
  const cert = read('tls_cert', files.cert)
  const key = read('tls_key', files.key)
  const leaf = attempt(
    () => new X509Certificate(cert),
    (why) => `inference.tls_cert: ${files.cert} is not a certificate in PEM (${why})`,
  )
  const privateKey: KeyObject = attempt(
    () => createPrivateKey(key),
    (why) => `inference.tls_key: ${files.key} is not a private key in PEM without a passphrase (${why})`,
  )
  if (!leaf.checkPrivateKey(privateKey))
    throw new ConfigError(
      `inference.tls_key: ${files.key} is not the key of the certificate in ${files.cert}, whose chain has to begin with the service's own`,
    )
  attempt(
    () => createSecureContext({ cert, key }),
    (why) => `inference.tls_cert: ${files.cert} and its key cannot be used for TLS (${why})`,
  )
  return { cert, key, ends: Date.parse(leaf.validTo) }
}

export type CertificateWatch = ReturnType<typeof watchCertificate>

/**
 * Looks whether the files have changed, and gives what they hold now to the server. What cannot be used is logged, and the
 * certificate before it is served on. By time stamps and not by `fs.watch`: that misses files behind links, where renewals are.
 * @param apply makes a server use it from the next connection on
 * @param wall ms
 */
export function watchCertificate({ files, first, apply, log, wall, interval = CHECK_INTERVAL_MS }: WatchParts) {
  let ends = first.ends
  let seen = stampOf(files)
  const look = (): void => {
    const found = stampOf(files)
    if (found === seen) return
    seen = found // one that is bad is not told again every minute
    try {
      const next = readCertificate(files)
      apply(next)
      ends = next.ends
      log.info({ event: 'tls.reloaded', ends: new Date(ends).toISOString() }, 'the certificate has changed')
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      log.error({ event: 'tls.reload_failed', error: why }, 'the new certificate cannot be used; the old one is kept')
    }
  }
  const timer = setInterval(look, interval)
  timer.unref()
  return {
    /** What an operator has to know of its end, as a sentence; null while it is far. */
    warning(): string | null {
      const days = (ends - wall()) / DAY_MS
      if (days > WARNING_DAYS) return null
      const when = `${days < 0 ? 'ended' : 'ends'} on ${new Date(ends).toISOString().slice(0, 16).replace('T', ' ')} UTC`
      return `the certificate in ${files.cert} ${when}; renew it there, and the service loads it by itself`
    },
    stop: () => clearInterval(timer),
  }
}

interface WatchParts {
  files: CertificateFiles
  first: Certificate
  apply: (certificate: Certificate) => void
  log: Record<'info' | 'error', (fields: Record<string, unknown>, text: string) => void>
  wall: () => number
  /** ms */
  interval?: number | undefined
}

function read(setting: 'tls_cert' | 'tls_key', file: string): Buffer {
  return attempt(
    () => readFileSync(file),
    (why) => `inference.${setting}: ${file} cannot be read (${why})`,
  )
}

function attempt<T>(step: () => T, sentence: (why: string) => string): T {
  try {
    return step()
  } catch (error) {
    throw new ConfigError(sentence(error instanceof Error ? error.message : String(error)))
  }
}

/** What changes when either file does: also when a link leads elsewhere. */
const stampOf = ({ cert, key }: CertificateFiles): string => `${stamp(cert)}, ${stamp(key)}`

function stamp(file: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(file)
    return `${ino} ${size} ${mtimeMs}`
  } catch {
    return 'none' // to read it says why
  }
}

/** The files of the settings; null where connections are not TLS. */
export const certificateFiles = ({
  tls_cert,
  tls_key,
}: Readonly<Partial<Record<'tls_cert' | 'tls_key', string | undefined>>>): CertificateFiles | null =>
  tls_cert === undefined || tls_key === undefined ? null : { cert: tls_cert, key: tls_key }
