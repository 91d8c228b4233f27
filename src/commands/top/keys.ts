import type { Key } from 'node:readline'
import { VIEWS, type TopState, type View } from './state.js'

/** What a key means beside another state. */
export type Order = 'quit' | 'suspend' | 'redraw'

/** How much of a view is seen. */
export interface Page {
  /** Rows that are seen at once. */
  rows: number
  /** The most rows that can be above them. */
  most: number
}

const MAX_FILTER = 128

/** What a key makes of what is seen. */
export function press(state: TopState, key: Key, page: Page): TopState | Order {
  if (key.ctrl === true) {
    if (key.name === 'c') return 'quit'
    if (key.name === 'z') return 'suspend'
    if (key.name === 'l') return 'redraw'
  }
  return state.isTyping ? typed(state, key) : act(state, key, page)
}

/** A letter of the filter, or what ends it. */
function typed(state: TopState, { name, sequence = '', ctrl = false, meta = false }: Key): TopState {
  if (name === 'return' || name === 'enter') return { ...state, isTyping: false }
  if (name === 'escape') return filtered({ ...state, isTyping: false }, '')
  if (name === 'backspace') return filtered(state, [...state.filter].slice(0, -1).join(''))
  if (ctrl && name === 'u') return filtered(state, '')
  if (ctrl || meta || sequence === '' || /\p{Cc}/u.test(sequence)) return state
  return filtered(state, [...state.filter, ...sequence].slice(0, MAX_FILTER).join(''))
}

function act(state: TopState, { name = '', sequence = '', shift = false, ctrl = false }: Key, page: Page) {
  if (ctrl) return state
  const to = (row: number): TopState => scrolled(state, Math.max(0, Math.min(row, page.most)))
  const row = Math.min(state.scroll[state.view], page.most)
  if (sequence === '/') return { ...state, isTyping: true }
  if (sequence === 'G') return to(page.most)
  const number = /^[1-9]$/.test(sequence) ? VIEWS[Number(sequence) - 1] : undefined
  if (number !== undefined) return { ...state, view: number }
  switch (name) {
    case 'q':
      return 'quit'
    case 'tab':
      return turned(state, shift ? -1 : 1)
    case 'right':
      return turned(state, 1)
    case 'left':
      return turned(state, -1)
    case 'up':
    case 'k':
      return to(row - 1)
    case 'down':
    case 'j':
      return to(row + 1)
    case 'pageup':
    case 'b':
      return to(row - page.rows)
    case 'pagedown':
    case 'space':
      return to(row + page.rows)
    case 'home':
    case 'g':
      return to(0)
    case 'end':
      return to(page.most)
    case 'escape':
      return filtered(state, '')
    default:
      return state
  }
}

const turned = (state: TopState, by: 1 | -1): TopState => ({
  ...state,
  view: VIEWS[(VIEWS.indexOf(state.view) + by + VIEWS.length) % VIEWS.length] ?? 'overview',
})

const scrolled = (state: TopState, row: number): TopState => ({
  ...state,
  scroll: { ...state.scroll, [state.view]: row },
})

/** Another filter shows other rows: from the first on. */
const filtered = (state: TopState, filter: string): TopState =>
  filter === state.filter ? state : { ...state, filter, scroll: TOP }

const TOP: Readonly<Record<View, number>> = { overview: 0, models: 0, nodes: 0, feed: 0 }
