import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

/** Compressed once, when it is built, so that nothing is paid for it when it is served. */
const compressed: Plugin = {
  name: 'compressed',
  apply: 'build',
  enforce: 'post',
  generateBundle(_, bundle) {
    for (const [fileName, file] of Object.entries(bundle)) {
      const bytes = Buffer.from(file.type === 'chunk' ? file.code : file.source)
      const gzip = gzipSync(bytes, { level: 9 })
      if (gzip.length < bytes.length * 0.9) this.emitFile({ type: 'asset', fileName: `${fileName}.gz`, source: gzip })
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
