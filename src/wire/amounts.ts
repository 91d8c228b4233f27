import { scanJson, type JsonScan } from './json-scan.js'

/**
 * JSON text in which no fee or nonce is rounded when it is parsed: one that a double may not hold (9007199254740990.5, 1e-400)
 * becomes a string, so that the schema takes or refuses it digit by digit. Everything else is as it was.
 * @param scan what scanJson found in it
 */
export function keepLongAmounts(json: string, { longAmounts }: Pick<JsonScan, 'longAmounts'> = scanJson(json)): string {
  if (longAmounts.length === 0) return json
  const parts: string[] = []
  let done = 0
  for (const at of longAmounts) {
    parts.push(json.slice(done, at))
    done = at
  }
  parts.push(json.slice(done))
  return parts.join('"') // each begins or ends a part
}
