import * as v from 'valibot'
import { amount, id, inferTime, model, shortText, text } from '../../wire/fields.js'
import { fillSubmission } from '../../wire/rest.js'
import { bytesField, hashField } from '../rpc/replies.js'

// What of the bodies of events is looked at. Fields that are not named here are left out.

const height = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

export const blockFields = v.pipe(
  v.object({
    block_hash: hashField(32),
    block_height: height,
    index_block_hash: hashField(32),
    parent_index_block_hash: hashField(32),
    burn_block_height: height,
  }),
  v.transform((block) => ({
    blockHash: block.block_hash,
    height: block.block_height,
    indexBlockHash: block.index_block_hash,
    parentIndexBlockHash: block.parent_index_block_hash,
    burnHeight: block.burn_block_height,
  })),
)

export const minedFields = v.pipe(
  v.object({
    txid: hashField(32),
    status: v.picklist(['success', 'abort_by_response', 'abort_by_post_condition']),
    raw_result: bytesField,
    raw_tx: bytesField,
  }),
  v.transform(({ txid, status, raw_result, raw_tx }) => ({ txid, status, rawResult: raw_result, rawTx: raw_tx })),
)

export const burnFields = v.object({ burn_block_height: height })
export const dropFields = v.object({ reason: v.pipe(v.string(), v.regex(/^\w{1,64}$/)) })
export const txidField = hashField(32)

const FAMILIES = ['DeepSeek', 'Llama', 'Mistral', 'Gemma', 'GptNeoX', 'Unknown'] as const
const MODEL = `must be an object with one of ${FAMILIES.join(', ')}, and a name`
/** `{"Llama":"llama-3"}`, or with null for any model of the family. */
const modelField = v.pipe(
  v.record(v.picklist(FAMILIES), v.nullable(model), MODEL),
  v.check((models) => Object.keys(models).length === 1, MODEL),
  v.transform((models) => {
    const [[family, name] = ['', null]] = Object.entries(models)
    return name ?? (family === 'Unknown' ? '' : family)
  }),
  v.minLength(1, MODEL),
)
export const submissionFields = v.pipe(
  v.object({
    task_id: id,
    infer_user_address: shortText(1, 256),
    user_input: text,
    context: text,
    fee: amount,
    nonce: amount,
    infer_fee: amount,
    max_infer_time: inferTime,
    model_type: modelField,
  }),
  v.transform(({ infer_user_address, model_type, ...task }) =>
    fillSubmission({ ...task, user_address: infer_user_address, model_name: model_type }),
  ),
)
