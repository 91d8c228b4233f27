import { writeSync } from 'node:fs'

/**
 * Where log lines go: a file descriptor, at once. A line that cannot be written (a full disk, a reader that has gone) is
 * lost and counted; the next that can is preceded by how many were. A log must never stop the process it speaks of.
 * @param write writes bytes and says how many it took; for tests
 */
export function createLogStream(fd: number, write: (fd: number, bytes: Uint8Array) => number = writeSync) {
  let lost = 0
  const put = (line: string): void => {
    for (let bytes = Buffer.from(line); bytes.length > 0;) bytes = bytes.subarray(write(fd, bytes))
  }
  return {
    write(line: string) {
      try {
        if (lost > 0)
          put(
            `${JSON.stringify({ level: 40, time: Date.now(), event: 'log.lost', lines: lost, msg: `${lost} log lines were lost` })}\n`,
          )
        lost = 0
        put(line)
      } catch {
        lost++ // there is nowhere to say it now; the next line that can be written says how many
      }
    },
  }
}
