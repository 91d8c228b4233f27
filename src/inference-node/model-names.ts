import { createModelTable } from '../rules/models.js'

const { familyOf } = createModelTable()
const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()

/**
 * Whether a node that lists `models` serves this task: by its name, because the node lists the whole family, or because the
 * task asks for just the family. Names compare case-insensitively. The coordinator may know more families than are known
 * here, so the task's `model_type` counts.
 */
export function servesModel(models: readonly string[], modelName: string, modelType: string): boolean {
  return models.some((m) => same(m, modelName) || same(m, modelType)) || same(modelName, modelType)
}

/**
 * What the model server calls the model of a task.
 * @param mapping served name to the server's name
 * @param models the models the node lists, in order of preference
 */
export function serverModel(
  mapping: Readonly<Record<string, string>>,
  models: readonly string[],
  modelName: string,
  modelType: string,
): string {
  const mapped = (name: string): string | undefined =>
    Object.entries(mapping).find(([served]) => same(served, name))?.[1]
  const exact = mapped(modelName)
  if (exact !== undefined) return exact
  if (models.some((m) => same(m, modelName))) return modelName
  if (same(modelName, modelType)) {
    const served = [...models, ...Object.keys(mapping)].find((m) => familyOf(m) === modelName.toLowerCase())
    if (served !== undefined) return mapped(served) ?? served
  }
  return mapped(modelType) ?? modelName
}
