import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { stripVTControlCharacters } from 'node:util'
import { onTestFinished } from 'vitest'
import { CLI } from './child.js'

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/** A command on a terminal of 80 columns. It needs the program `script`. */
export function terminalChild(args: string[]) {
  const command = ['stty cols 80 rows 24; exec', process.execPath, CLI, ...args.map(quoted)].join(' ')
  const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text))
  const exit = once(child, 'close').then(([code]) => code as number | null)
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exit
  })
  return {
    /** What has been printed so far, without colours. */
    printed: () => stripVTControlCharacters(printed).replaceAll('\r\n', '\n'),
    /** As if typed. */
    type: (text: string) => void child.stdin.write(text),
    /** Resolves with the exit code when it has ended. */
    exit,
  }
}

/** The lines that a command prints on a terminal of 80 columns. */
export async function terminal(args: string[]): Promise<string[]> {
  const child = terminalChild(args)
  await child.exit
  return child.printed().split('\n')
}
