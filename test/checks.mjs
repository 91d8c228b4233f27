// node test/checks.mjs [types|lint]
// What is checked before the tests: the types of the tests and of the dashboard, the form of every file, and the rules of oxlint.
// They run side by side, and what one that fails has to say is printed whole.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { buffer } from 'node:stream/consumers'

/** The longest first. */
const all = [
  { kind: 'types', run: ['tsc', '-p', 'test/tsconfig.json'] },
  { kind: 'lint', run: ['oxlint'] },
  { kind: 'lint', run: ['oxfmt', '--check'] },
  { kind: 'types', run: ['tsc', '-p', 'web/tsconfig.json'] },
]
const [only] = process.argv.slice(2)
const checks = all.filter(({ kind }) => only === undefined || kind === only)

async function check({ run: [command, ...args] }) {
  const child = spawn('npx', ['--no-install', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, err, [code]] = await Promise.all([buffer(child.stdout), buffer(child.stderr), once(child, 'close')])
  if (code === 0) return
  process.stderr.write(`${command} ${args.join(' ')}\n`)
  process.stderr.write(out)
  process.stderr.write(err)
  process.exitCode = 1
}

const worker = async () => {
  for (let next = checks.shift(); next !== undefined; next = checks.shift()) await check(next)
}
await Promise.all(Array.from({ length: availableParallelism() }, worker))
