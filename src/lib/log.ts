import { pino, type Logger } from 'pino'
import { PinoPretty } from 'pino-pretty'
import { createLogStream } from './log-stream.js'

export type { Logger }

/**
 * The log of a process, on standard output: one JSON object a line, or lines for people on a terminal.
 * @param debug also what happens to every single task
 */
export function createLog({ name, debug }: { name: string; debug: boolean }): Logger {
  const level = debug ? 'debug' : 'info'
  // Not pino's own stream: it keeps what it cannot write, and waits for ever at a full disk.
  if (!process.stdout.isTTY) return pino({ name, level }, createLogStream(1))
  return pino(
    { name, level },
    PinoPretty({
      sync: true,
      ignore: 'pid,hostname,name,event',
      errorLikeObjectKeys: ['err'],
      translateTime: 'SYS:HH:MM:ss',
      singleLine: true,
    }),
  )
}

/** For tests and embedding: says nothing. */
export const silentLog = (): Logger => pino({ level: 'silent' })
