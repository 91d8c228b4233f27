import type { ComponentChildren } from 'preact'
import type { Failure } from '../state/api.js'
import { words } from '../words/index.js'
import { Icon } from './icons.js'

/** What stands where a list has nothing to show: why, and what to do next. @param command that does it */
export function Empty({ title, children, command }: { title: string; children?: ComponentChildren; command?: string }) {
  return (
    <div class="empty">
      <p>
        <b>{title}</b>
      </p>
      {children !== undefined && <p>{children}</p>}
      {command !== undefined && (
        <pre tabIndex={0}>
          <code>{command}</code>
        </pre>
      )}
    </div>
  )
}

/** Why a view has nothing to show; nothing while it waits for the first answer. */
export function Trouble({ failure }: { failure: Failure | null }) {
  const t = words.value
  // A service that is not there is told of at the top of the page.
  if (failure === null || failure.status === 0) return <p class="quiet">{t.loading}</p>
  return (
    <div class="empty" role="alert">
      <p class="mark">
        <Icon name="warn" tone="failed" />
        <b>{failure.status === 403 ? t.forbidden : t.refused(failure.status)}</b>
      </p>
      <p>{failure.message}</p>
    </div>
  )
}

export function Panel({
  title,
  children,
  beside,
}: {
  title: string
  children: ComponentChildren
  beside?: ComponentChildren
}) {
  return (
    <section class="panel">
      <header>
        <h2>{title}</h2>
        {beside}
      </header>
      {children}
    </section>
  )
}

/** A wide table scrolls by itself, also by keyboard; the page does not. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      {children}
    </div>
  )
}

/** Names with their values. */
export function Facts({ rows }: { rows: readonly (readonly [string, ComponentChildren] | null)[] }) {
  return (
    <dl class="facts">
      {rows.map(
        (row) =>
          row !== null && (
            <div key={row[0]}>
              <dt>{row[0]}</dt>
              <dd>{row[1]}</dd>
            </div>
          ),
      )}
    </dl>
  )
}
