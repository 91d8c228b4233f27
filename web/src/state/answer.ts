import { useEffect, useRef, useState } from 'preact/hooks'
import { ask, token, type Failure } from './api.js'
import { resync } from './feed.js'

/** What a view shows of a route: what was answered last stays while it is asked again. */
export interface Shown<T> {
  data: T | null
  failure: Failure | null
  /** Asks again now. */
  reload: () => void
}

/** After an answer that did not come it is asked again so soon, ms. */
const AGAIN_MS = 2000

/**
 * Asks a route, and again after so many ms for as long as the view is there; a page that nobody looks at asks for nothing.
 * @param path null: nothing is asked
 * @param everyMs 0: once
 */
export function useAnswer<T>(path: string | null, everyMs = 0): Shown<T> {
  const [shown, setShown] = useState<{ path: string | null; data: T | null; failure: Failure | null }>({
    path: null,
    data: null,
    failure: null,
  })
  const again = useRef<() => void>(() => undefined)
  const { value: missed } = resync
  const { value: shownToken } = token
  useEffect(() => {
    if (path === null) return
    let timer: ReturnType<typeof setTimeout> | undefined
    let gone = false
    let asking = false
    let askedAgain = false
    const look = async (): Promise<void> => {
      clearTimeout(timer)
      if (asking) {
        askedAgain = true
        return
      }
      asking = true
      const answer = await ask<T>(path)
      asking = false
      if (gone) return
      setShown((last) =>
        answer.ok
          ? { path, data: answer.data, failure: null }
          : { path, data: last.path === path ? last.data : null, failure: answer },
      )
      if (askedAgain) {
        askedAgain = false
        return void look()
      }
      const failed = !answer.ok && (answer.status === 0 || answer.status >= 429)
      const wait = failed ? Math.max(AGAIN_MS, answer.retryAfter * 1000) : everyMs
      if (wait > 0 && !document.hidden) timer = setTimeout(() => void look(), wait)
    }
    const onVisible = (): void => {
      if (!document.hidden && everyMs > 0) void look()
    }
    again.current = () => void look()
    document.addEventListener('visibilitychange', onVisible)
    void look()
    return () => {
      gone = true
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', onVisible)
    }
  }, [path, everyMs, missed, shownToken])
  const current = shown.path === path || path === null
  return {
    data: current ? shown.data : null,
    failure: current ? shown.failure : null,
    reload: () => again.current(),
  }
}
