import { useEffect } from 'preact/hooks'
import { useLocation } from 'preact-iso/router'
import { paths } from './paths.js'

/** The element that `/` leads to. */
export const SEARCH_ID = 'search'

/** After `g` so long the letter of a view is waited for, ms. */
const CHORD_MS = 1500
export const chords: Readonly<Record<string, keyof typeof paths>> = {
  o: 'overview',
  t: 'tasks',
  n: 'nodes',
  m: 'fleet',
  f: 'feed',
  h: 'health',
}

const isField = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && /^(?:INPUT|TEXTAREA|SELECT)$/.test(target.tagName)

/** The keys of the page: `/` to search, `g` and a letter for a view, `?` for help. */
export function useKeys(help: () => void): void {
  const { route } = useLocation()
  useEffect(() => {
    let chordUntil = 0
    const onKey = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || isField(event.target)) return
      if (document.querySelector('dialog[open]') !== null) return
      const view = chords[event.key]
      if (view !== undefined && performance.now() < chordUntil) {
        chordUntil = 0
        event.preventDefault()
        const path = paths[view]
        if (typeof path === 'string') route(path)
        return
      }
      chordUntil = event.key === 'g' ? performance.now() + CHORD_MS : 0
      if (event.key === '?') help()
      if (event.key !== '/') return
      const field = document.getElementById(SEARCH_ID)
      if (!(field instanceof HTMLInputElement)) return
      event.preventDefault()
      field.focus()
      field.select()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [route, help])
}
