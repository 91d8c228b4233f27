import * as v from 'valibot'

/** An integer within bounds, both included. @param expected what is said of anything else */
export const integerFrom = (min: number, max: number, expected = `must be an integer from ${min} to ${max}`) =>
  v.pipe(v.number(expected), v.integer(expected), v.minValue(min, expected), v.maxValue(max, expected))
