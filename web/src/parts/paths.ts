// The addresses of the page. Every filter is in the query, so that what is seen can be sent to somebody, and back works.

const BASE = '/dashboard'
export const paths = {
  overview: `${BASE}/`,
  tasks: `${BASE}/tasks`,
  nodes: `${BASE}/nodes`,
  fleet: `${BASE}/fleet`,
  feed: `${BASE}/feed`,
  health: `${BASE}/health`,
  task: (id: string): string => `${BASE}/tasks/${encodeURIComponent(id)}`,
  node: (id: string): string => `${BASE}/nodes/${encodeURIComponent(id)}`,
} as const

export type Query = Readonly<Record<string, string | null | undefined>>

/** A path with what of the query is not empty. */
export function withQuery(path: string, query: Query): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value != null && value !== '') search.set(name, value)
  const text = search.toString()
  return text === '' ? path : `${path}?${text}`
}

export const api = {
  task: (id: string): string => `/api/v1/tasks/${encodeURIComponent(id)}`,
  node: (id: string): string => `/api/v1/nodes/${encodeURIComponent(id)}`,
} as const
