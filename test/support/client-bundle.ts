import { build } from 'esbuild'
import { fileURLToPath } from 'node:url'

/** The client library as a page gets it: one file, as small as a bundler makes it, and what it is made of. */
export async function bundleClient() {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['src/client/index.ts'],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
  })
  const parts = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.keys(inputs))
  return { code: outputFiles[0]?.text ?? '', parts }
}
