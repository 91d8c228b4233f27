import { stripVTControlCharacters } from 'node:util'
import { textWidth } from './text-width.js'

const widthOf = (text: string): number => textWidth(stripVTControlCharacters(text))

/**
 * A line as several that end between words and fit a width; a word that is wider stays whole.
 * @param indent of the lines behind the first, in columns of a terminal
 */
export function wrapWords(line: string, width: number, indent = 0): string[] {
  if (widthOf(line) <= width) return [line]
  const lines: string[] = []
  let current = ''
  for (const word of line.split(/(?<=\S)(?= \S)/)) {
    if (current !== '' && widthOf(current + word) > width) {
      lines.push(current)
      current = ' '.repeat(indent) + word.trimStart()
    } else current += word
  }
  return [...lines, current]
}

/** A help text, in which a description that does not fit goes on below where it began. */
export const wrapHelp = (text: string, width: number): string =>
  text
    .split('\n')
    .flatMap((line) => {
      const plain = stripVTControlCharacters(line)
      // Names are to the right of their column, descriptions to the left of theirs, with spaces between.
      const description = /^ +\S+(?: \S+)*  +/.exec(plain)?.[0].length ?? 0
      return wrapWords(line.trimEnd(), width, description)
    })
    .join('\n')
