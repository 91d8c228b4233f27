import * as v from 'valibot'
import { jsonObject } from './fields.js'

// How a task wants its answer to be made: OpenAI's parameters, as they were given. Whoever works on it has to understand them.

/** What nodes may understand beside plain text, each one a bit, in this order. */
export const features = ['params', 'tools', 'images', 'embeddings'] as const
export type Feature = (typeof features)[number]

/** The most that the parameters of a task may take as JSON, in bytes. */
export const MAX_PARAMS_BYTES = 256 * 1024

const bitOf = (feature: Feature): number => 1 << features.indexOf(feature)

/** Features as a number; names that are not known say nothing. */
export const featureBits = (names: readonly string[]): number =>
  features.filter((feature) => names.includes(feature)).reduce((bits, feature) => bits | bitOf(feature), 0)

export const featuresOf = (bits: number): Feature[] => features.filter((feature) => (bits & bitOf(feature)) !== 0)

/** Whether who has these features understands a task that needs those. */
export const understands = (has: number, needs: number): boolean => (needs & ~has) === 0

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null
const isImage = (part: unknown): boolean => isRecord(part) && part['type'] === 'image_url'
const hasImage = (message: unknown): boolean =>
  isRecord(message) && Array.isArray(message['content']) && message['content'].some(isImage)

/**
 * What a node has to understand to work on a task with these parameters. `tools`: it may call some. `images`: a message has one.
 * `embeddings`: there is an `input` in the place of messages, and vectors are wanted.
 */
export function neededFeatures(params: Readonly<Record<string, unknown>>): number {
  const { tools, messages, input } = params
  return (
    bitOf('params') |
    (Array.isArray(tools) && tools.length > 0 ? bitOf('tools') : 0) |
    (Array.isArray(messages) && messages.some(hasImage) ? bitOf('images') : 0) |
    (input == null ? 0 : bitOf('embeddings'))
  )
}

/** The parameters of a task as JSON, and what they need; null where there are none. */
export function fillParams(params: Readonly<Record<string, unknown>> | null | undefined): {
  params: string | null
  needs: number
} {
  if (params == null || Object.keys(params).length === 0) return { params: null, needs: 0 }
  return { params: JSON.stringify(params), needs: neededFeatures(params) }
}

/** @param stored what `fillParams` has made */
export const readParams = (stored: string): Readonly<Record<string, unknown>> => v.parse(jsonObject, JSON.parse(stored))
