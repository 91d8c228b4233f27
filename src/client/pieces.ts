/** A piece of text for who reads along. */
export interface Piece {
  text: string
  /** How often the text has begun anew, with this piece. */
  restarted: number
}

/**
 * Text for who reads along, out of that of one attempt after the other. What a new attempt says again is swallowed while it is the
 * same as what was read; at the first difference the text begins anew.
 */
export function createPieces(onPiece: (piece: Piece) => void) {
  /** What was given since the text began anew, and what the attempt of now has said: equal as far as the second goes. */
  let given = ''
  let said = ''
  let restarted = 0

  const give = (text: string): void => {
    given = said
    if (text !== '') onPiece({ text, restarted })
  }
  const giveAnew = (): void => {
    restarted++
    // A text that is empty is news too.
    given = said
    onPiece({ text: said, restarted })
  }

  return {
    /** Another attempt begins. */
    restart(): void {
      said = ''
    },
    add(delta: string): void {
      const before = said.length
      const isBehind = before < given.length
      said += delta
      if (!isBehind) return give(delta)
      const known = Math.min(said.length, given.length)
      if (said.slice(before, known) !== given.slice(before, known)) giveAnew()
      else if (said.length > given.length) give(said.slice(given.length))
    },
    /** The attempt has said all of the result. */
    finish(): void {
      if (said.length < given.length) giveAnew()
    },
  }
}
