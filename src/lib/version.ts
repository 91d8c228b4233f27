import { readFileSync } from 'node:fs'

const root = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')

/** The version of this package. */
export const { version } = JSON.parse(read('package.json')) as {
  version: string
}

/** The commit of a checkout that runs, as far as its HEAD tells without git; empty where there is none. */
export function commit(): string {
  try {
    const head = read('.git/HEAD').trim()
    const ref = /^ref: (refs\/[\w./-]+)$/.exec(head)?.[1]
    const found = ref === undefined ? head : read(`.git/${ref}`).trim()
    return /^[0-9a-f]{40}$/.test(found) ? found.slice(0, 12) : ''
  } catch {
    return '' // a package that was installed
  }
}
