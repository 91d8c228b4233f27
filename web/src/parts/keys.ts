import { useLayoutEffect, useRef } from 'preact/hooks'
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
  // Outlives the listener, which is set again after each change of view: a `g` just before that still counts.
  const chordUntil = useRef(0)
  // In layout, not after the paint: a key that is pressed on what is just shown is heard.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || isField(event.target)) return
      if (document.querySelector('dialog[open]') !== null) return
      const view = chords[event.key]
      if (view !== undefined && event.timeStamp < chordUntil.current) {
        chordUntil.current = 0
        event.preventDefault()
        const path = paths[view]
        if (typeof path === 'string') route(path)
        return
      }
      // When the key was pressed, not when a busy page came to it.
      chordUntil.current = event.key === 'g' ? event.timeStamp + CHORD_MS : 0
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
