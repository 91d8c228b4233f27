/** Text of a task as it comes, piece by piece, attempt by attempt. */
export interface TaskText {
  /** Of which attempt it is, and how much of it is there, UTF-16 units: what a watch goes on from. Null: of none yet. */
  position(): { attempt: number | null; offset: number }
  /** @returns what is new of a piece, and whether the text begins anew with it */
  add(piece: { attempt: number; offset: number; delta: string }): { text: string; anew: boolean }
  /** @returns what is missing of the result; anew where it goes on otherwise than the text that came */
  finish(output: string): { text: string; anew: boolean }
}

/**
 * Puts the pieces in their places: one that came twice is there once, and after one that is missing nothing more is, until the
 * result has all of it.
 */
export function createTaskText(): TaskText {
  let attempt = 0
  let text = ''

  return {
    position: () => ({ attempt: attempt === 0 ? null : attempt, offset: text.length }),
    add(piece) {
      if (piece.attempt < attempt) return { text: '', anew: false }
      let anew = false
      if (piece.attempt > attempt) {
        anew = text !== ''
        attempt = piece.attempt
        text = ''
      }
      if (piece.offset > text.length) return { text: '', anew }
      const added = piece.delta.slice(text.length - piece.offset)
      text += added
      return { text: added, anew }
    },
    finish(output) {
      if (output.startsWith(text)) return { text: output.slice(text.length), anew: false }
      return { text: output, anew: true }
    },
  }
}
