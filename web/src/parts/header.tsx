import { useState } from 'preact/hooks'
import { useLocation } from 'preact-iso/router'
import { can, isAsked, role } from '../state/access.js'
import { downSince, setToken } from '../state/api.js'
import { connection } from '../state/feed.js'
import type { Right } from '../state/rights.js'
import { choose, isDark, language } from '../state/settings.js'
import { speak, words } from '../words/index.js'
import { time } from './format.js'
import { Icon } from './icons.js'
import { SEARCH_ID } from './keys.js'
import { paths, withQuery } from './paths.js'

const views = [
  ['overview', 'overview'],
  ['tasks', 'list'],
  ['nodes', 'nodes'],
  ['fleet', 'models'],
  ['feed', 'events'],
  ['health', 'alerts'],
] as const satisfies readonly (readonly [keyof typeof paths, Right])[]

/** The views that who looks may open. */
export const openViews = () => views.filter(([, right]) => can(right)).map(([view]) => view)

function Navigation() {
  const { path } = useLocation()
  const t = words.value
  return (
    <nav aria-label={t.nav.label}>
      {openViews().map((view) => {
        const target = paths[view]
        const here = view === 'overview' ? path === '/dashboard' : path === target || path.startsWith(`${target}/`)
        return (
          <a href={target} aria-current={here ? 'page' : undefined} key={view}>
            {t.nav[view]}
          </a>
        )
      })}
    </nav>
  )
}

/** Whether what is seen is live. */
function Live() {
  const t = words.value
  const isDown = downSince.value !== null || connection.value === 'down'
  if (isDown)
    return (
      <span class="mark live">
        <Icon name="warn" tone="failed" />
        {t.live.down}
      </span>
    )
  const [icon, tone, word] =
    connection.value === 'live'
      ? (['play', 'completed', t.live.live] as const)
      : connection.value === 'off'
        ? (['clock', 'pending', t.live.off] as const)
        : (['circle', 'pending', t.live.connecting] as const)
  return (
    <span class="mark live">
      <Icon name={icon} tone={tone} />
      {word}
    </span>
  )
}

/** Leads to a task or a node by its id. */
function Search() {
  const { route } = useLocation()
  const t = words.value
  const [text, setText] = useState('')
  const open = (event: Event): void => {
    event.preventDefault()
    const id = text.trim()
    if (id === '') return
    setText('')
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur()
    route(can('taskDetail') ? withQuery(paths.task(id), { from: 'search' }) : paths.node(id))
  }
  if (!can('taskDetail') && !can('nodes')) return null
  return (
    <form role="search" onSubmit={open}>
      <input
        id={SEARCH_ID}
        type="search"
        value={text}
        onInput={(e) => setText(e.currentTarget.value)}
        placeholder={t.search.hint}
        aria-label={t.search.label}
        autocomplete="off"
        spellcheck={false}
      />
    </form>
  )
}

export function Header({ onHelp }: { onHelp: () => void }) {
  const t = words.value
  const dark = isDark()
  return (
    <header class="top">
      <a href={paths.overview} class="brand">
        {t.brand}
      </a>
      <Navigation />
      <div class="tools">
        <Search />
        {role.value !== null && <Live />}
        <button
          type="button"
          lang={language.value === 'zh' ? 'en' : 'zh-CN'}
          onClick={() => void speak(language.value === 'zh' ? 'en' : 'zh')}
        >
          {language.value === 'zh' ? 'English' : '中文'}
        </button>
        <button type="button" onClick={() => choose.theme(dark ? 'light' : 'dark')}>
          {dark ? t.theme.light : t.theme.dark}
        </button>
        <button type="button" onClick={onHelp} aria-label={t.help.title}>
          ?
        </button>
        {isAsked.value === true && role.value !== null && (
          <button type="button" onClick={() => setToken(null)}>
            {t.signIn.out}
          </button>
        )}
      </div>
    </header>
  )
}

/** Says that the service does not answer, and from when what is seen is. */
export function Down() {
  const t = words.value
  const since = downSince.value
  return (
    <div role="status">
      {since !== null && (
        <p class="down mark">
          <Icon name="warn" tone="failed" />
          {t.live.since(time(since))}
        </p>
      )}
    </div>
  )
}
