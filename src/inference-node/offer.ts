import * as v from 'valibot'
import { model } from '../wire/fields.js'
import type { Feature } from '../wire/params.js'

/** What a backend can serve now. */
export interface Offer {
  models: readonly string[]
  /** What it understands beside plain text now. Default: all that the node was made with. */
  features?: readonly Feature[] | undefined
  /** What is wrong with the rest, as a sentence for people. The node looks again until there is nothing. */
  problem?: string | undefined
}

/** The most models that a hello names. */
export const MAX_OFFERED = 64

/** Whether a model server's name of a model can be one at the coordinator too. */
export const isModelName = (name: string): boolean => v.is(model, name)

/** What a model server lists, as far as it can be said in a hello. */
export function usableModels(list: readonly string[]): readonly string[] {
  return [...new Set(list)].filter(isModelName).slice(0, MAX_OFFERED)
}
