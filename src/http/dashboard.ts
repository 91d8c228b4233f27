import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A file of the dashboard, in memory. */
export interface DashboardFile {
  bytes: Buffer
  /** The same compressed; null where that gains nothing. */
  gzip: Buffer | null
  type: string
  /** Changes with every byte of it. */
  tag: string
}

export interface Dashboard {
  index: DashboardFile
  /** By name, which has a hash of what is in the file. */
  assets: ReadonlyMap<string, DashboardFile>
}

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Where `npm run build` puts it, seen from src/ and from dist/ alike. */
const BUILT = fileURLToPath(new URL('../../dist/dashboard/', import.meta.url))

function readFile(path: string): DashboardFile | null {
  const type = types[extname(path)]
  if (type === undefined) return null
  const bytes = readFileSync(path)
  const gzip = existsSync(`${path}.gz`) ? readFileSync(`${path}.gz`) : null
  return { bytes, gzip, type, tag: createHash('sha256').update(bytes).digest('hex').slice(0, 16) }
}

/**
 * The dashboard as it was built; null where it was not. Read once: what is served does not change under the feet of a page.
 * @param folder that it was built into
 */
export function readDashboard(folder: string = BUILT): Dashboard | null {
  const page = join(folder, 'index.html')
  const index = existsSync(page) ? readFile(page) : null
  if (index === null) return null
  const assets = new Map<string, DashboardFile>()
  for (const name of readdirSync(join(folder, 'assets'))) {
    const file = readFile(join(folder, 'assets', name))
    if (file !== null) assets.set(name, file)
  }
  return { index, assets }
}
