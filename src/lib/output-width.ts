/** The width of a terminal that does not say how wide it is. */
const USUAL_WIDTH = 80

/** How wide standard output is; Infinity where it is no terminal: a program that reads the lines wants all of them. */
export const outputWidth = (): number => (process.stdout.isTTY ? process.stdout.columns || USUAL_WIDTH : Infinity)
