import { execFileSync, spawnSync } from 'node:child_process'

/** Certificates are made by openssl. */
export const hasOpenssl = spawnSync('openssl', ['version']).status === 0

/** Writes a certificate of its own for 127.0.0.1 and its key, in PEM. */
export function makeCertificate(cert: string, key: string, { days = 90, name = 'localhost' } = {}): void {
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1']
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  execFileSync(
    'openssl',
    ['req', '-x509', ...curve, '-nodes', '-keyout', key, '-out', cert, '-days', `${days}`, ...subject],
    { stdio: 'ignore' },
  )
}
