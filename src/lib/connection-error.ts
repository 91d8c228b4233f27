import { explainNetworkError, isUnreachable } from './network-error.js'

/** How the user of a command names the service that it asks. */
export const GIVE_ADDRESS = 'give the address of the service with --url or STACKS_SIGNER_URL'

/**
 * One sentence for a person whose program could not talk to a service: what is wrong, and what to do.
 * @param shown the address without what is secret in it
 */
export function explainConnection(error: unknown, shown: string): string {
  const { protocol, host } = new URL(shown)
  // The error of fetch says no more than that it failed.
  const root = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const why = explainNetworkError({ subject: shown, secure: protocol === 'https:', host }, root)
  return isUnreachable(root) ? `${why}; start the service, or ${GIVE_ADDRESS}` : why
}

/** An address for people: without user, password, query and the slash at its end. */
export function shownAddress(address: string): string {
  const { protocol, host, pathname } = new URL(address)
  return `${protocol}//${host}${pathname.replace(/\/+$/, '')}`
}
