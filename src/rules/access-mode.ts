/** How far the service is to be seen, and what was set for that. */
export interface Exposure {
  /** `api_host`. */
  host: string
  publicHosts: readonly string[]
  trustedProxies: readonly string[]
  /** Whether connections are TLS. */
  tls: boolean
  /** `auth.mode` of the configuration. */
  authentication: 'auto' | 'on'
  /** Tokens, invites not counted: how many were ever made, and how many of them are good now. */
  tokens: { made: number; good: number }
  /** `--insecure`. */
  insecure: boolean
  /** `--plain-http`. */
  plainHttp: boolean
}

/** open: nobody has to prove anything. on: everybody is judged by the table of access. refused: the service must not start so. */
export type AccessMode = { mode: 'open' | 'on'; warning: string | null } | { mode: 'refused'; why: string }

const MAKE_A_TOKEN = 'make a token with "stacks-signer tokens create --role admin --name me --config FILE"'

/**
 * Whether authentication is on. It is, once a token was made: when the last one has expired the service does not open.
 * Without one the service is open on loopback, as long as nothing says that others reach it there; everywhere else it
 * does not start, unless somebody says that this is meant.
 */
export function decideAccess(e: Exposure): AccessMode {
  const loopback = isLoopbackHost(e.host)
  const seen = reachedByOthers(e)
  const on = e.authentication === 'on' || e.tokens.made > 0
  if (seen !== null && !on && !e.insecure)
    return { mode: 'refused', why: `${seen} lets anybody in: ${MAKE_A_TOKEN}, or say --insecure` }
  if (!on)
    return {
      mode: 'open',
      warning:
        seen === null
          ? null
          : `anybody who reaches this service may do everything (--insecure): ${MAKE_A_TOKEN}, and start it without --insecure`,
    }
  if (!loopback && !e.tls && e.trustedProxies.length === 0 && !e.plainHttp)
    return {
      mode: 'refused',
      why: `${e.host} without TLS shows tokens and prompts to everybody on the way: set inference.tls_cert and inference.tls_key, or inference.trusted_proxies for a proxy that does TLS, or say --plain-http`,
    }
  return {
    mode: 'on',
    warning: e.tokens.good > 0 ? uselessFlag(e) : `no token is good, so nobody can do anything: ${MAKE_A_TOKEN}`,
  }
}

/** What lets others reach the service, as the sentence of a refusal begins; null where only this machine does. */
export function reachedByOthers({
  host,
  publicHosts,
  trustedProxies,
}: Pick<Exposure, 'host' | 'publicHosts' | 'trustedProxies'>): string | null {
  if (!isLoopbackHost(host)) return host
  if (trustedProxies.length > 0) return 'inference.trusted_proxies'
  return publicHosts.length > 0 ? 'inference.public_hosts' : null
}

const uselessFlag = ({ insecure }: Exposure): string | null =>
  insecure ? '--insecure changes nothing: there are tokens, so authentication is on' : null

/** Whether only this machine can reach what listens on a host. */
export const isLoopbackHost = (host: string): boolean =>
  /^(?:localhost|127(?:\.\d{1,3}){3}|\[?::1\]?|\[?::ffff:127(?:\.\d{1,3}){3}\]?)$/i.test(host)
