import { toJsonSchema } from '@valibot/to-json-schema'
import type * as v from 'valibot'
import { auditView, newTokenView, nodeKeyView, tokenView } from '../wire/access.js'
import { callbackView } from '../wire/callbacks.js'
import { jsonObject, submissionWarning } from '../wire/fields.js'
import { chatChunk, completionChunk, openAiFailure } from '../wire/openai-answers.js'
import { submitBody } from '../wire/rest.js'
import { delegationView, nodeView, statsView } from '../wire/service-answers.js'
import { taskEvent } from '../wire/task-event-data.js'
import {
  callbackMessage,
  paidTaskView,
  polledTaskView,
  refusedEntry,
  settlementView,
  submittedView,
  taskDetailView,
  taskLine,
  taskStatusView,
} from '../wire/task-answers.js'
import { modelView, seriesView } from '../wire/watch-answers.js'
import { feedEvent } from '../wire/watch-events.js'
import { fieldNotes } from './field-notes.js'

export type Json = Record<string, unknown>
/** A JSON schema, as far as pages read it. */
export interface JsonSchema {
  $ref?: string
  type?: string
  description?: string
  enum?: unknown[]
  const?: unknown
  anyOf?: JsonSchema[]
  items?: JsonSchema
  /** What is in a text, once it is parsed. */
  contentSchema?: JsonSchema
  properties?: Record<string, JsonSchema>
  required?: string[]
}
/** A reference to a component of the document. */
export const ref = (kind: string, name: string) => ({ $ref: `#/components/${kind}/${name}` })

/** Schemas that are named in the document; others stand where they are used. */
const named: Readonly<Record<string, v.GenericSchema>> = {
  Submission: submitBody,
  Submitted: submittedView,
  SubmissionWarning: submissionWarning,
  RefusedEntry: refusedEntry,
  TaskLine: taskLine,
  TaskStatus: taskStatusView,
  TaskDetail: taskDetailView,
  PaidTask: paidTaskView,
  PolledTask: polledTaskView,
  Callback: callbackView,
  Settlement: settlementView,
  Node: nodeView,
  NodeKey: nodeKeyView,
  Delegation: delegationView,
  Token: tokenView,
  NewToken: newTokenView,
  AuditEntry: auditView,
  Stats: statsView,
  Model: modelView,
  Series: seriesView,
  FeedEvent: feedEvent,
  CallbackMessage: callbackMessage,
  TaskEvent: taskEvent,
  ChatChunk: chatChunk,
  CompletionChunk: completionChunk,
  OpenAiError: openAiFailure,
}

const names = new Map(Object.entries(named).map(([name, schema]) => [schema, name]))
/** A schema as JSON schema: of named ones in it there is a reference. Not by the definitions of the library, which it converts each time. */
const convert = (schema: v.GenericSchema): Json => {
  const { $schema: _, ...rest } = toJsonSchema(schema, {
    target: 'draft-2020-12',
    typeMode: 'input',
    errorMode: 'ignore',
    overrideSchema({ valibotSchema }) {
      if (valibotSchema === jsonObject) return { type: 'object' }
      // JSON has no undefined, and what may be anything may be null.
      const maybe = 'wrapped' in valibotSchema ? (valibotSchema.wrapped as v.GenericSchema).type : null
      if (valibotSchema.type === 'nullish' && maybe === 'undefined') return { type: 'null' }
      if (valibotSchema.type === 'nullish' && maybe === 'unknown') return {}
      const name = valibotSchema === schema ? undefined : names.get(valibotSchema)
      return name === undefined ? undefined : ref('schemas', name)
    },
  })
  return noted(rest) as Json
}
/** The same, or where it is named a reference to it. */
export const jsonSchema = (schema: v.GenericSchema): Json => {
  const name = names.get(schema)
  return name === undefined ? convert(schema) : ref('schemas', name)
}

/** A JSON schema with what is known of its fields by their names. */
function noted(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(noted)
  if (typeof schema !== 'object' || schema === null) return schema
  return Object.fromEntries(
    Object.entries(schema).flatMap(([key, value]): [string, unknown][] => {
      if (key === 'required' && Array.isArray(value) && value.length === 0) return []
      if (key !== 'properties') return [[key, noted(value)]]
      const fields = Object.entries(value as Json).map(([name, field]) => [name, withNote(name, noted(field) as Json)])
      return [[key, Object.fromEntries(fields)]]
    }),
  )
}
const withNote = (name: string, schema: Json): Json => ({ ...noteOf(name), ...schema })

/** The named schemas. */
export const namedSchemas = (): Json =>
  Object.fromEntries(Object.entries(named).map(([name, schema]) => [name, convert(schema)]))

/** What is known of a field by its name, as its description. */
export const noteOf = (name: string): Json => (Object.hasOwn(fieldNotes, name) ? { description: fieldNotes[name] } : {})
