import type { Caller } from '../core/access/caller.js'
import type { RefusedTally } from '../door/refused-calls.js'
import type { Remote } from '../door/remote.js'
import type { TokenDirectory } from '../door/token-directory.js'
import type { Identified, Who } from '../door/who.js'
import { toSeconds, type TimeSource } from '../lib/clock.js'
import type { Refusal } from '../lib/result.js'
import type { ClientServerMessage } from '../wire/client-answers.js'
import type { CloseReason } from '../wire/codes.js'

/** How long a session may go without saying who it is, where it has to, ms. */
const NAMELESS_MS = 10_000
/** The largest message of one that has not said it, in bytes. */
export const MAX_NAMELESS_BYTES = 64 * 1024
/** How long before its token expires a session is told, seconds. */
const DRAIN_SECONDS = 30

/** What sessions have to know of who may do what. */
export interface SessionAccess {
  who: Pick<Who, 'isOn' | 'byToken'>
  tokens: Pick<TokenDirectory, 'goodUntil'>
  /** Whether who shows no token may submit. */
  anonymousSubmit: boolean
  tally: Pick<RefusedTally, 'answered'>
}

export interface ClientAccessParts {
  identified: Identified
  remote: Remote
  time: TimeSource
  push(message: ClientServerMessage): void
  close(reason: CloseReason, text: string): void
}

export type ClientAccess = ReturnType<typeof createClientAccess>

/** Who a submitter's session is, and for how long: by the token of its upgrade, or that of its first message. */
export function createClientAccess(
  { who, tokens, anonymousSubmit }: SessionAccess,
  { identified, remote, time, push, close }: ClientAccessParts,
) {
  const begun = time.monotonic()
  let { tokenId } = identified
  /** Until when its token was good when it was last looked at, Unix seconds. */
  let goodUntil: number | null = null
  let told = false
  const callerOf = ({ principal }: Identified): Caller => ({
    principal,
    address: remote.address ?? null,
    request_id: null,
  })
  let by = callerOf(identified)

  const refuse = (refusal: Refusal): void => {
    const tooMany = refusal.code === 'rate_limited'
    push({ type: 'error', code: tooMany ? 'rate_limited' : 'unauthorized', message: refusal.message })
    close(tooMany ? 'tooMany' : 'unauthorized', refusal.message)
  }
  /** Its token is good no more: because its time is over, or because somebody has revoked it. */
  const end = (): void =>
    goodUntil !== null && goodUntil <= toSeconds(time.wall())
      ? close('unauthorized', 'the token has expired; connect again with another one')
      : close('forbidden', 'the token was revoked; ask the operator of this service for another one')

  return {
    /** Who asks. */
    by: (): Caller => by,
    /** Whether it has shown nothing where it has to. @param heard whether its first message has come */
    isNameless: (heard: boolean): boolean => by.principal.role === 'public' && !(anonymousSubmit && heard),

    /** Its first message shows a token. */
    authenticate(token: string): void {
      if (who.isOn()) {
        const found = who.byToken(token, remote)
        if (!found.ok) return refuse(found)
        by = callerOf(found.value)
        tokenId = found.value.tokenId
      }
      const until = tokenId === null ? null : (tokens.goodUntil(tokenId) ?? null)
      push({ type: 'session.authenticated', role: by.principal.role, expires_at: until })
    },

    /** Looks whether it may go on. Call it about once a second. */
    check(): void {
      const { role } = by.principal
      if (role === 'open') {
        if (who.isOn()) close('unauthorized', 'this service asks for a token now; connect again with one')
      } else if (role === 'public') {
        if (!anonymousSubmit && time.monotonic() - begun >= NAMELESS_MS)
          close('unauthorized', `no token within ${NAMELESS_MS / 1000} s: show one at the upgrade, or in session.auth`)
      } else if (tokenId !== null) {
        const until = tokens.goodUntil(tokenId)
        if (until === undefined) return end()
        goodUntil = until
        if (told || until === null || until - toSeconds(time.wall()) > DRAIN_SECONDS) return
        told = true
        push({ type: 'session.drain', reason: 'token_expires', reconnect_after: 0 })
      }
    },
  }
}
