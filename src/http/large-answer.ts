import { jsonInSteps, type Pieces } from '../lib/json-pieces.js'
import { envelopeText } from '../wire/envelope.js'

/** The envelope around a value as bytes, in steps: see jsonInSteps. */
export function envelopeInSteps(data: unknown): Generator<void, Pieces> {
  const [begin = '', end = ''] = envelopeText('[]').split('[]')
  return jsonInSteps(data, begin, end)
}
