// Makes the npm package of the node from what is built: the files that dist/node-cli.js imports, and no more of the dependencies.
// node ops/npm/package-node.mjs [FOLDER]; without one it is dist/node-package.
import { build } from 'esbuild'
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const NAME = 'stacks-inference-node'
const ENTRY = 'dist/node-cli.js'
const root = fileURLToPath(new URL('../..', import.meta.url))
const json = (file) => JSON.parse(readFileSync(join(root, file), 'utf8'))
const service = json('package.json')
const locked = json('package-lock.json').packages
const target = resolve(process.argv[2] ?? join(root, 'dist/node-package'))

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: [ENTRY],
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  write: false,
  outdir: 'unwritten',
  metafile: true,
})
const packageOf = (path) => path.split('/', path.startsWith('@') ? 2 : 1).join('/')
const imported = Object.values(metafile.inputs).flatMap(({ imports }) =>
  imports.flatMap(({ external, path }) => (external && !isBuiltin(path) ? [packageOf(path)] : [])),
)
const names = [...new Set(imported)].sort()
/** What the node works without as well. */
const isOptional = (name) => service.peerDependenciesMeta[name]?.optional === true
const rangesOf = (wanted, given) =>
  Object.fromEntries(
    wanted.map((name) => {
      if (given[name] === undefined) throw new Error(`${name} is no dependency of package.json`)
      return [name, given[name]]
    }),
  )
const dependencies = rangesOf(
  names.filter((name) => !isOptional(name)),
  service.dependencies,
)
const peerDependencies = rangesOf(names.filter(isOptional), service.peerDependencies)
const peerDependenciesMeta = Object.fromEntries(Object.keys(peerDependencies).map((name) => [name, { optional: true }]))

/** Where npm has put a package that is asked for by the one at `from`: below it, or as near as it is there. */
function placeOf(name, from) {
  const above = from.split('node_modules/').slice(1)
  for (let n = above.length; n >= 0; n--) {
    const place = [...above.slice(0, n).map((part) => part.replace(/\/$/, '')), name]
      .map((part) => `node_modules/${part}`)
      .join('/')
    if (locked[place] !== undefined) return place
  }
  throw new Error(`${name}, of ${from || 'the node'}, is not in package-lock.json`)
}
const places = new Set()
const lock = (names, from) => {
  for (const name of names) {
    const place = placeOf(name, from)
    if (places.has(place)) continue
    places.add(place)
    lock(Object.keys(locked[place].dependencies ?? {}), place)
  }
}
lock(Object.keys(dependencies), '')

const { version, license, type, engines } = service
const bin = { [NAME]: ENTRY }
const described = { name: NAME, version, license, engines, bin, dependencies, peerDependencies, peerDependenciesMeta }
const packages = Object.fromEntries([...places].sort().map((place) => [place, locked[place]]))

rmSync(target, { recursive: true, force: true })
mkdirSync(target, { recursive: true })
const write = (file, content) => writeFileSync(join(target, file), `${JSON.stringify(content, null, 2)}\n`)
write('package.json', {
  ...described,
  description: 'Inference node of the Stacks inference service: serves the models of a GPU to a coordinator',
  type,
  files: ['dist', 'npm-shrinkwrap.json'],
})
// With the versions that were tested, also for those who run it by npx.
write('npm-shrinkwrap.json', {
  name: NAME,
  version,
  lockfileVersion: 3,
  requires: true,
  packages: { '': described, ...packages },
})
for (const file of Object.keys(metafile.inputs)) {
  mkdirSync(join(target, dirname(file)), { recursive: true })
  copyFileSync(join(root, file), join(target, file))
}
copyFileSync(join(root, 'LICENSE'), join(target, 'LICENSE'))
copyFileSync(join(root, 'ops/npm/README.md'), join(target, 'README.md'))
process.stdout.write(`${target}: ${Object.keys(metafile.inputs).length} files, ${places.size} packages\n`)
