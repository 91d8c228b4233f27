/** What answers say in their headers beside what HTTP and its safety need, and what each field says. */
export const answerHeaders = {
  'X-Request-Id': { description: 'Names the request in the log of the service' },
  'Retry-After': { description: 'When to ask again, seconds', pattern: '^\\d+$' },
  RateLimit: {
    description: 'Where it is the rate of requests: its name, what remains of it, and `t` seconds until there is more',
  },
  'RateLimit-Policy': { description: 'The same rate: its name, its quota, and its window in seconds' },
  'X-Ignored-Query': {
    description:
      'Under `/api/v1/tasks`: names of parameters in the query that the route does not know, percent-encoded, at most 10',
  },
  'Preference-Applied': { description: '`wait=N`: what was waited for has ended in time', pattern: '^wait=\\d+$' },
  'X-Task-Id': { description: 'The task that the request has become' },
  'X-Should-Retry': {
    description: '`false`: the task was stored, and to try again would ask for it once more',
    pattern: '^false$',
  },
  'Retry-After-Ms': { description: 'As `Retry-After`, milliseconds', pattern: '^\\d+$' },
  Location: { description: 'Where the dashboard is' },
  ETag: { description: 'Changes with every byte of the files of the page' },
} as const satisfies Readonly<Record<string, { description: string; pattern?: string }>>

export type AnswerHeader = keyof typeof answerHeaders

/** The header that names what a request has in its query and its route does not know. */
export const IGNORED_QUERY = 'X-Ignored-Query' satisfies AnswerHeader

/** A header as a component of the document is called: `X-Request-Id` is `RequestId`. */
export const headerComponent = (name: AnswerHeader): string => name.replace(/^X-/, '').replaceAll('-', '')
