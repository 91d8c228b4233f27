import { InferenceError, type InferenceClient, type Submission, type TextStream } from '../../client/index.js'
import { failureOf } from '../../client/errors.js'
import { harmless } from '../../lib/table.js'

/** A submission whose task_id is known. */
export type Question = Submission & { task_id: string }

export interface AnswerParts {
  client: InferenceClient
  question: Question
  /** Gives it up. */
  signal: AbortSignal
  /** It is worked on. */
  onBegun(): void
}

/**
 * Prints the text of an answer as it comes, and nothing else.
 * @throws InferenceError why there is none
 */
export async function printText({ client, question, signal, onBegun }: AnswerParts): Promise<void> {
  const out = process.stdout
  const stream = client.stream(question, { signal })
  let restarted = 0
  let isInLine = false
  try {
    for await (const piece of stream) {
      onBegun()
      if (stream.restarted !== restarted) beginAnew(stream, isInLine)
      restarted = stream.restarted
      if (piece === '') continue
      // Byte for byte where it is read by a program.
      out.write(out.isTTY ? harmless(piece) : piece)
      isInLine = !piece.endsWith('\n')
    }
    if (!out.isTTY) out.write('\n')
    else if (isInLine) out.write('\n')
    isInLine = false
  } finally {
    if (isInLine) out.write('\n')
  }
}

/** What was printed does not count any more. @throws InferenceError where nobody could see that */
function beginAnew({ task_id }: TextStream, isInLine: boolean): void {
  if (!process.stdout.isTTY)
    throw new InferenceError(
      'failed',
      `another node had to begin anew, and says something else than what was printed; tasks watch ${task_id} has the whole answer`,
      task_id,
    )
  if (isInLine) process.stdout.write('\n')
  process.stderr.write('stacks-signer: another node had to begin anew, and says something else:\n')
}

/**
 * Prints each event of a task as a line of JSON, as it is over server-sent events.
 * @throws InferenceError as the last of them says it
 */
export async function printEvents({ client, question, signal, onBegun }: AnswerParts): Promise<void> {
  for await (const event of client.watch(question, { signal })) {
    if (event.event !== 'status' || event.status !== 'pending') onBegun()
    console.log(JSON.stringify(event))
    const failure = event.event === 'result' ? failureOf(event) : null
    if (failure !== null) throw failure
  }
}
