/** Who asks, from the least to the most: `public` is whoever shows nothing. */
export const roles = ['public', 'metrics', 'viewer', 'user', 'node', 'operator', 'admin'] as const
export type Role = (typeof roles)[number]

/** What a token may be allowed beside its role. `texts`: an operator who reads prompts and results. */
export const scopes = ['texts'] as const
export type Scope = (typeof scopes)[number]
