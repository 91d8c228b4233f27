import type { ComponentChildren } from 'preact'
import { useLocation } from 'preact-iso/router'
import { withQuery } from './paths.js'

/** By what a table is sorted, as the address says it: `name` or `-name`. */
export interface Order {
  by: string
  descending: boolean
}
export const orderOf = (text: string | undefined, otherwise: string): Order => {
  const given = text ?? otherwise
  return { by: given.replace(/^-/, ''), descending: given.startsWith('-') }
}

type Value = number | string | null
/** Rows in an order; what has no value comes last. */
export function sorted<T>(rows: readonly T[], valueOf: (row: T) => Value, descending: boolean): T[] {
  const sign = descending ? -1 : 1
  return [...rows].sort((a, b) => {
    const [x, y] = [valueOf(a), valueOf(b)]
    if (x === null || y === null) return Number(x === null) - Number(y === null)
    return sign * (typeof x === 'string' || typeof y === 'string' ? String(x).localeCompare(String(y)) : x - y)
  })
}

/** The head of a column that the table can be sorted by. */
export function SortHead({
  name,
  order,
  figure = true,
  children,
}: {
  name: string
  order: Order
  figure?: boolean
  children: ComponentChildren
}) {
  const { path, query, route } = useLocation()
  const isHere = order.by === name
  const next = isHere ? (order.descending ? name : `-${name}`) : figure ? `-${name}` : name
  return (
    <th
      scope="col"
      class={figure ? 'figure' : undefined}
      aria-sort={isHere ? (order.descending ? 'descending' : 'ascending') : undefined}
    >
      <button type="button" class="sort" onClick={() => route(withQuery(path, { ...query, sort: next }), true)}>
        {children}
        <span aria-hidden="true">{isHere ? (order.descending ? ' ↓' : ' ↑') : ''}</span>
      </button>
    </th>
  )
}
