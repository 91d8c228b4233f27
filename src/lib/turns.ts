/** Whose turn it is, of services that stand for each other, by their place in a list. */
export type Turns = ReturnType<typeof createTurns>

/** @param urls ws, wss, http or https; at least one */
export function createTurns(urls: readonly string[]) {
  const servers = urls.map(serverOf)
  const tried = new Set<number>()
  let at = 0

  return {
    get at() {
      return at
    },
    /** The place of the server that a service has named; -1 where it is not in the list: a stranger must lead nobody away. */
    placeOf: (url: string | null | undefined): number => (url == null ? -1 : servers.indexOf(serverOf(url))),
    goTo(place: number): void {
      at = place
    },
    /** The one whose turn it is does what is asked of it: each of the others may be tried again. */
    answered: (): void => tried.clear(),
    /**
     * What was tried at a place has failed.
     * @param told the place that it has named instead; -1: none
     * @returns whether the next one is to be tried at once; false: each was tried since one has answered, and a pause is due
     */
    failed(place: number, told = -1): boolean {
      if (place !== at) return true // others have moved on from there already
      tried.add(place)
      const ring = servers.map((_, i) => (place + 1 + i) % servers.length)
      const wanted = told < 0 ? ring : [told, ...ring]
      const next = wanted.find((one) => !tried.has(one))
      at = next ?? wanted[0] ?? 0
      if (next === undefined) tried.clear()
      return next !== undefined
    },
  }
}

/** What of a URL says which server it is of; null where it is none. A session and REST are of the same one. */
function serverOf(url: string): string | null {
  if (!URL.canParse(url)) return null
  const { protocol, host } = new URL(url)
  const scheme = /^(?:http|ws)(s?):$/.exec(protocol)
  return scheme === null ? null : `${scheme[1]}//${host}`
}

/** The URLs of a list with commas between. A comma that no URL follows is part of one. */
export const splitUrls = (text: string): string[] => text.split(/,(?=\s*[a-z]+:\/\/)/i).map((url) => url.trim())
