import { readFileSync } from 'node:fs'
import * as v from 'valibot'

const { name, version } = v.parse(
  v.object({ name: v.string(), version: v.string() }),
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')),
)

/** What the node calls itself in its hello. */
export const AGENT = `${name}/${version}`
