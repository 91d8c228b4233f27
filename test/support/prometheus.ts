import { spawn, spawnSync } from 'node:child_process'

/** Debian's package `prometheus` has it. */
const found = spawnSync('promtool', ['--version']).status === 0
/** Why tests with promtool are skipped on this machine; null where they run. With REQUIRE_REAL_PARTS=1 they fail instead. */
export const noPromtool: string | null =
  found || process.env['REQUIRE_REAL_PARTS'] === '1' ? null : 'there is no promtool; apt-get install prometheus'

/** Runs promtool. @returns its exit code, and all that it says */
export function promtool(args: readonly string[], input = ''): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn('promtool', args, { stdio: ['pipe', 'pipe', 'pipe'] })
    let text = ''
    child.stdout.on('data', (data: Buffer) => (text += data.toString()))
    child.stderr.on('data', (data: Buffer) => (text += data.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, text }))
    child.stdin.end(input)
  })
}

export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}
/** What a scrape says, in the text format of Prometheus. */
export const samplesOf = (text: string): Sample[] =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name = '', labels = '', value = ''] = /^([\w:]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
      if (name === '') throw new Error(`no sample: ${line}`)
      const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', text = '']) => [key, text])
      return { name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) }
    })

/** The sum of the samples of this name that have these labels. */
export const sumOf = (samples: readonly Sample[], name: string, labels: Record<string, string> = {}): number =>
  samples
    .filter((s) => s.name === name && Object.entries(labels).every(([key, value]) => s.labels[key] === value))
    .reduce((sum, { value }) => sum + value, 0)
