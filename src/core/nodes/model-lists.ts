import type { Lane, ModelTable } from '../../rules/models.js'

/** How many different lists are kept. */
const MAX_LISTS = 1000

export interface ModelList {
  list: readonly string[]
  lanes: readonly Lane[]
}

/** Reads a row's `supported_models`. Most nodes serve what others serve: one list is shared by all of them. */
export function createModelLists(models: ModelTable): (text: string) => ModelList {
  const known = new Map<string, ModelList>()
  return (text) => {
    let found = known.get(text)
    if (found === undefined) {
      if (known.size >= MAX_LISTS) known.clear()
      const list = JSON.parse(text) as string[]
      found = { list, lanes: models.lanesOfNode(list) }
      known.set(text, found)
    }
    return found
  }
}
