import { randomBytes } from 'node:crypto'
import * as v from 'valibot'
import { WorkError } from './work-error.js'

/** A part of a call of a tool as servers stream it. One that says no more than its call is a part too. */
export const toolCallPiece = v.object({
  /** Which call of the answer it is of, from 0. Not all servers say it. */
  index: v.nullish(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  id: v.nullish(v.string()),
  type: v.nullish(v.string()),
  function: v.nullish(v.object({ name: v.nullish(v.string()), arguments: v.nullish(v.string()) })),
})
/** A part of a call of a tool, in the words of OpenAI's streams. */
export type ToolCallPiece = v.InferOutput<typeof toolCallPiece>

/** A whole call of a tool. `arguments` is JSON as the model wrote it, which need not be valid. */
export type ToolCall = { id: string; type: string; function: { name: string; arguments: string } }

/** The most calls that one answer may hold on the wire. */
const MAX_TOOL_CALLS = 128

/** Puts the calls of one answer together from their parts. */
export function createToolCalls() {
  const calls: ToolCall[] = []
  /** The call that parts of an index belong to now. */
  const byIndex = new Map<number, ToolCall>()
  let last: ToolCall | undefined

  const begin = (): ToolCall => {
    if (calls.length === MAX_TOOL_CALLS) throw new WorkError(`the answer calls tools more than ${MAX_TOOL_CALLS} times`)
    const call = { id: '', type: 'function', function: { name: '', arguments: '' } }
    calls.push(call)
    return call
  }
  /** Some servers give no index, some give every call the index 0: another id is another call. */
  const callOf = ({ index, id, function: f }: ToolCallPiece): ToolCall => {
    const known = index == null ? last : byIndex.get(index)
    const isOther = known !== undefined && !!id && known.id !== '' && id !== known.id
    const isNext = index == null && !id && !!f?.name
    return known === undefined || isOther || isNext ? begin() : known
  }

  return {
    /** @returns how many characters it has added */
    add(piece: ToolCallPiece): number {
      const call = callOf(piece)
      last = call
      if (piece.index != null) byIndex.set(piece.index, call)
      const { id, type, function: f } = piece
      if (id) call.id = id
      if (type) call.type = type
      if (f?.name) call.function.name = f.name
      call.function.arguments += f?.arguments ?? ''
      return [id, type, f?.name, f?.arguments].reduce((sum, text) => sum + (text?.length ?? 0), 0)
    },
    /** The calls so far, in the order in which they began. Who answers one names its id, so each has one. */
    list: (): ToolCall[] =>
      calls.map(({ id, type, function: { name, arguments: args } }) => ({
        id: id === '' ? `call_${randomBytes(12).toString('hex')}` : id.toWellFormed(),
        type: type.toWellFormed(),
        function: { name: name.toWellFormed(), arguments: args.toWellFormed() },
      })),
  }
}
