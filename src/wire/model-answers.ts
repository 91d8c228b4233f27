import * as v from 'valibot'

// The models that are served, as OpenAI's API lists them. Apart from its other answers, of which our own client has no use.

const integer = v.pipe(v.number(), v.integer())

export const modelView = v.object({
  id: v.string(),
  object: v.literal('model'),
  created: integer,
  owned_by: v.literal('nodes'),
})
export const modelList = v.object({ object: v.literal('list'), data: v.array(modelView) })
