import { modelKey } from '../../rules/models.js'
import { nearestNames } from '../../rules/nearest.js'
import type { SubmissionWarning } from '../../wire/fields.js'
import type { Context } from '../context.js'

/** Names are compared no more often than this in a second: a flood of strange names, of tasks or of nodes, costs no more. */
const NAMES_PER_SECOND = 2000
/** How many names are suggested. */
const MAX_SUGGESTIONS = 3

/**
 * What a submitter should know of the model that a new task names. Where a node serves it, to find that out is to look into two
 * maps; names are compared only where none does, and the same name once in a second.
 * @returns a function of the name of a model and its family; undefined when there is nothing to say
 */
export function createModelHints(ctx: Context) {
  const { registry, models } = ctx
  let second = 0
  /** What this second has left, and what was found in it, by name. */
  let left = NAMES_PER_SECOND
  const found = new Map<string, readonly string[]>()

  /** Names that are served, as nodes list them, until the second has none left. */
  function* names(): Iterable<string> {
    for (const name of registry.servedNames()) {
      if (left-- <= 0) return
      yield name
    }
  }
  const nearest = (key: string): readonly string[] => {
    const now = Math.floor(ctx.now / 1000)
    if (now !== second) {
      second = now
      left = NAMES_PER_SECOND
      found.clear()
    }
    let near = found.get(key)
    if (near === undefined && left > 0) {
      near = nearestNames(key, names(), MAX_SUGGESTIONS).map(registry.spellingOf)
      found.set(key, near)
    }
    return near ?? []
  }

  return (name: string, family: string): SubmissionWarning[] | undefined => {
    if (registry.isServed(models.lanesOfTask(name, family))) return undefined
    const suggestions = nearest(modelKey(name))
    const meant = suggestions.length === 0 ? '' : `; did you mean ${suggestions.join(' or ')}?`
    return [
      {
        code: 'no_node_for_model',
        message: `no registered node serves ${name}, so the task waits for one that does${meant}`,
        did_you_mean: [...suggestions],
      },
    ]
  }
}
