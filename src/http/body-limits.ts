/** What is around the text of a task or an output: names, numbers, white space; bytes. */
const ROOM = 64 * 1024
/** JSON may write a character as six, and some programs write each that is not ASCII so: then a text has up to three times its bytes. */
const ESCAPED_TEXT = 3
/** An output may be of control characters alone, which have to be written so. */
const ESCAPED = 6

export interface BodyLimitParts {
  maxBodyBytes: number
  maxMessageBytes: number
  maxOutputBytes: number
}

/**
 * The largest body of each kind, in bytes: what the service takes always fits, however it is written, and only a batch may be as
 * large as a body may be at all.
 */
export function bodyLimits({ maxBodyBytes, maxMessageBytes, maxOutputBytes }: BodyLimitParts) {
  const most = (bytes: number): number => Math.min(maxBodyBytes, bytes + ROOM)
  return {
    batch: maxBodyBytes,
    /** Its text has to fit into a message, as JSON that escapes no more than it must. */
    submission: most(maxMessageBytes * ESCAPED_TEXT),
    output: most(maxOutputBytes * ESCAPED),
    /** Everything else: its texts are short, or are cut. */
    other: most(maxMessageBytes),
  }
}
export type BodyLimits = ReturnType<typeof bodyLimits>
