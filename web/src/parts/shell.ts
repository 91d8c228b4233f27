/** A word as a shell takes it: names come from strangers, and what they hold must not become a command. */
export const shellWord = (text: string): string =>
  /^[\w.:/@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
