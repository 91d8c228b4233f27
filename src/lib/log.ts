import { pino, type Logger } from 'pino'
import { PinoPretty } from 'pino-pretty'
import { createLogStream } from './log-stream.js'

export type { Logger }

/**
 * The log of a process, on standard output: one JSON object a line, or lines for people on a terminal.
 * @param debug also what happens to every single task
 * @param fields whether a terminal shows the fields of a line too; false where its message says all of them. Default true
 */
export function createLog({ name, debug, fields = true }: { name: string; debug: boolean; fields?: boolean }): Logger {
  const level = debug ? 'debug' : 'info'
  // Not pino's own stream: it keeps what it cannot write, and waits for ever at a full disk.
  if (!process.stdout.isTTY) return pino({ name, level }, createLogStream(1))
  const prettyWith = (hideObject: boolean) =>
    PinoPretty({
      sync: true,
      ignore: 'pid,hostname,name,event',
      errorLikeObjectKeys: ['err'],
      translateTime: 'SYS:HH:MM:ss',
      singleLine: !hideObject, // it would end no line without an object
      hideObject,
    })
  const withFields = prettyWith(false)
  const messageOnly = prettyWith(true)
  const streamOf = (line: string) => (!fields || SAY_ALL.test(line) ? messageOnly : withFields)
  return pino({ name, level }, { write: (line: string) => void streamOf(line).write(visible(line)) })
}

/** Events whose messages say all of their fields: a terminal shows each thing once. */
const SAY_ALL = /^\{[^{}]*"event":"(?:service\.listening|service\.stopping)"/

/**
 * A line of the log, in which what moves the cursor of a terminal, or turns the direction of writing, is shown and not sent: it
 * may hold what a stranger wrote. Ends of lines stay, which stack traces have.
 * @param line JSON
 */
export const visible = (line: string): string =>
  // A backslash that is written as two begins no escape.
  line.replace(/\\\\|\\u00[01][0-9a-f]|\\[bfr]|[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => {
    if (c === '\\\\' || c === '\n') return c
    return c.startsWith('\\') ? `\\${c}` : `\\\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`
  })

/** For tests and embedding: says nothing. */
export const silentLog = (): Logger => pino({ level: 'silent' })
