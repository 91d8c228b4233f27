import { createModelTable } from '../rules/models.js'

const { familyOf } = createModelTable()

/** Names of models compare case-insensitively. */
export const sameModel = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()

/** Whether a name is that of a whole family, as far as families are known here. */
export const isFamily = (name: string): boolean => familyOf(name) === name.toLowerCase()

/** Whether a model is of a family. */
export const isOfFamily = (name: string, family: string): boolean => familyOf(name) === family.toLowerCase()

/**
 * Which of the models that a node offers serves a task: the one of that name, the whole family, or one of the family that the
 * task asks for. undefined: none does, or it cannot be told which.
 * @param models in order of preference
 */
export function modelFor(models: readonly string[], modelName: string, modelType: string): string | undefined {
  const named = models.find((m) => sameModel(m, modelName)) ?? models.find((m) => sameModel(m, modelType))
  if (named !== undefined || !sameModel(modelName, modelType)) return named
  // The coordinator may know more families than are known here.
  const family = modelName.toLowerCase()
  return (
    models.find((m) => familyOf(m) === family) ??
    models.find((m) => m.toLowerCase().includes(family)) ??
    (models.length === 1 ? models[0] : undefined)
  )
}

/** Whether a node that offers `models` takes this task. Which of them a family stands for is left to the backend. */
export function servesModel(models: readonly string[], modelName: string, modelType: string): boolean {
  return sameModel(modelName, modelType) || modelFor(models, modelName, modelType) !== undefined
}
