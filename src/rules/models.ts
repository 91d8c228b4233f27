/**
 * Which words in a model's name tell its family, in the order they are tried. Adding a family is one line here;
 * operators add theirs under `[inference.families]`.
 */
export const knownFamilies: readonly Family[] = [
  ['deepseek', ['deepseek']],
  ['llama', ['llama']],
  ['mistral', ['mistral', 'mixtral']],
  ['gemma', ['gemma']],
  ['gptneox', ['neox', 'gpt-neo', 'gpt-j']],
]
export type Family = readonly [name: string, words: readonly string[]]

/** The family of what nobody knows: of it only equal names match. */
export const UNKNOWN = 'unknown'

/** Names compare case-insensitively: the form they are compared in. */
export const modelKey = (name: string): string => name.toLowerCase()

/**
 * A lane is a queue of ready tasks that some nodes serve: `name:` of one exact model name, or `family:` of a whole
 * family. Every task waits in one of each kind; a node serves the lanes of what it lists.
 */
export type Lane = `name:${string}` | `family:${string}`

export interface ModelTable {
  /** The family of a model name, found case-insensitively. */
  familyOf(name: string): string
  /** The lanes a task waits in. */
  lanesOfTask(name: string, family: string): [Lane, Lane]
  /** The lanes a node serves that lists these models. */
  lanesOfNode(models: readonly string[]): Lane[]
}

/** @param more the operator's families; they are tried first, so that they can refine the known ones. */
export function createModelTable(more: readonly Family[] = []): ModelTable {
  const families = [...more, ...knownFamilies]
  const bare = new Set(families.map(([name]) => modelKey(name)))
  const familyOf = (name: string): string => {
    const key = modelKey(name)
    if (bare.has(key)) return key
    return families.find(([, words]) => words.some((w) => key.includes(modelKey(w))))?.[0] ?? UNKNOWN
  }
  return {
    familyOf,
    lanesOfTask: (name, family) => [`name:${modelKey(name)}`, `family:${family}`],
    lanesOfNode(models) {
      const lanes = new Set<Lane>()
      for (const name of models) {
        const key = modelKey(name)
        const family = familyOf(key)
        lanes.add(`name:${key}`)
        if (bare.has(key)) lanes.add(`family:${key}`)
        else if (family !== UNKNOWN) lanes.add(`name:${family}`) // tasks that ask for just the family
      }
      return [...lanes]
    },
  }
}
