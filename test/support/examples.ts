import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runProgram, type Child } from './child.js'
import { tempDir } from './temp-dir.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The blocks of a page of the repository, with their language. */
export const blocksOf = (page: string): { language: string; text: string }[] =>
  [...readFileSync(join(root, page), 'utf8').matchAll(/```(\w*)\n([\s\S]*?)```/g)].map(
    ([, language = '', text = '']) => ({ language, text }),
  )

/** An example asks the service of a test. */
export const asking = (text: string, url: string): string => text.replaceAll('http://127.0.0.1:8080', url)

/** What a browser has of its own, and Node 20 has not. */
const BROWSERS = `import { EventSource } from 'undici'\nglobalThis.EventSource ??= EventSource\n`

/** Runs a block as a program of somebody who has installed this package, and the others that it names. It needs the build. */
export function runExample(text: string): Child {
  const dir = tempDir()
  mkdirSync(join(dir, 'node_modules'))
  symlinkSync(root, join(dir, 'node_modules/stacks-inference-service'))
  for (const name of ['openai', 'undici'])
    symlinkSync(join(root, 'node_modules', name), join(dir, 'node_modules', name))
  writeFileSync(join(dir, 'example.mjs'), text.includes('EventSource') ? BROWSERS + text : text)
  return runProgram(process.execPath, ['--no-warnings', 'example.mjs'], { cwd: dir })
}
