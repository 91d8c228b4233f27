/** Those of these sentences that there are, as one text; null when there are none. */
export function sentences(...all: (string | null | undefined)[]): string | null {
  const said = all.filter((one) => one != null)
  return said.length === 0 ? null : said.join('. ')
}
