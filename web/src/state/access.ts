import { computed, signal } from '@preact/signals'
import { ask, refusedToken, token } from './api.js'
import { rights, roleOfToken, type Right, type Role } from './rights.js'

/** Whether the service asks who everybody is; null until it has said so. */
export const isAsked = signal<boolean | null>(null)

/** Who looks; null until that is known. */
export const role = computed<Role | null>(() => {
  if (isAsked.value === null) return null
  if (!isAsked.value) return 'open'
  if (token.value === null || refusedToken.value !== null) return null
  return roleOfToken(token.value)
})

/** Whether who looks may do something. Without a right there is neither button nor text. */
export const can = (right: Right): boolean => role.value !== null && rights[role.value].includes(right)

/** Finds out whether the service is open to whoever reaches it. @returns whether it could be reached */
export async function findAccess(): Promise<boolean> {
  // Who shows nothing may read this only where nobody has to show anything.
  const answer = await fetch('/api/v1/models').catch(() => null)
  if (answer === null || answer.status >= 500) return false
  isAsked.value = answer.status === 401
  // Whether the token is good is seen by its first use.
  if (isAsked.value && token.value !== null) await ask('/api/v1/stats')
  return true
}
