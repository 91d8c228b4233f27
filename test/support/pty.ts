import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { stripVTControlCharacters } from 'node:util'
import { onTestFinished } from 'vitest'
import { CLI } from './child.js'
import { until } from './wait.js'

/** Why tests with a terminal are skipped on this machine; null where they run. With REQUIRE_REAL_PARTS=1 they fail instead. */
export const withoutTerminal =
  spawnSync('script', ['--version']).status === 0 || process.env['REQUIRE_REAL_PARTS'] === '1'
    ? null
    : 'there is no program "script"; apt-get install bsdutils'

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/**
 * A command on a terminal of 80 columns and 24 rows, below a shell that says afterwards how it has ended and how the terminal is.
 * @param more.env beside ours
 */
export async function onTerminal(args: readonly string[], more: { env?: Record<string, string> } = {}) {
  const inner = `echo "is $$ on $(tty)."; exec ${[process.execPath, CLI, ...args].map(quoted).join(' ')}`
  const command = `stty cols 80 rows 24; sh -c ${quoted(inner)}; echo "has-ended: $?"; stty -a; echo over.`
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, TERM: 'xterm-256color', NO_COLOR: '', ...more.env },
  })
  let sent = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (sent += text))
  const exit = once(child, 'close')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exit
  })
  const [, pid = '', tty = ''] = await until(() => /is (\d+) on (\S+)\./.exec(sent), 'the terminal')
  return {
    pid: Number(pid),
    /** Everything that was sent to the terminal. */
    sent: () => sent,
    type: (text: string): void => void child.stdin.write(text),
    resize: (columns: number, rows: number): void =>
      void spawnSync('stty', ['-F', tty, 'cols', String(columns), 'rows', String(rows)]),
    /** Waits until a text has come. */
    shows: async (text: string | RegExp): Promise<void> => {
      await until(() => new RegExp(text).test(stripVTControlCharacters(sent)), String(text))
    },
    /** Forgets what has come. */
    forget: (): void => void (sent = ''),
    /** How it has ended, and how the terminal is then. */
    async ended() {
      await until(() => sent.includes('over.'), 'the end')
      const [drawn = '', after = ''] = sent.split('has-ended: ')
      return {
        code: Number.parseInt(after, 10),
        /** Whether keys are echoed, and lines are edited, as before. */
        isCooked: / icanon/.test(after) && / echo /.test(after),
        /** Whether it is the usual screen, with a cursor, and lines go on in the next. */
        isUsual: [
          ['\x1b[?1049h', '\x1b[?1049l'],
          ['\x1b[?25l', '\x1b[?25h'],
          ['\x1b[?7l', '\x1b[?7h'],
        ].every(([off = '', on = '']) => drawn.lastIndexOf(on) > drawn.lastIndexOf(off)),
        /** What is to be read on the usual screen. */
        left: stripVTControlCharacters(drawn.slice(drawn.lastIndexOf('\x1b[?1049l') + '\x1b[?1049l'.length)).trim(),
      }
    },
  }
}
