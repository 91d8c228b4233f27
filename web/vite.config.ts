import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

/** Compressed once, when it is built, so that nothing is paid for it when it is served. */
const compressed: Plugin = {
  name: 'compressed',
  apply: 'build',
  // What is on disk is what is compressed: other plugins still change a bundle before it is written.
  writeBundle({ dir = '' }, bundle) {
    for (const fileName of Object.keys(bundle)) {
      const bytes = readFileSync(join(dir, fileName))
      const gzip = gzipSync(bytes, { level: 9 })
      if (gzip.length < bytes.length * 0.9) writeFileSync(join(dir, `${fileName}.gz`), gzip)
    }
  },
}

export default defineConfig({
  base: '/dashboard/',
  plugins: [compressed],
  build: {
    outDir: fileURLToPath(new URL('../dist/dashboard', import.meta.url)),
    emptyOutDir: true,
    target: 'es2022',
    // The policy of the page allows no data: address.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
})
