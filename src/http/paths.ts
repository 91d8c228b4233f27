import { done, refuse, type Outcome } from '../lib/result.js'
import { id } from '../wire/fields.js'
import { parse } from './body.js'

/** The path of a URL that the server has put together, as it came: to parse it again costs as much as the rest of the route. */
const pathOf = (url: string): string => {
  const begin = url.indexOf('/', url.indexOf('://') + 3)
  const end = url.slice(begin).search(/[?#]/)
  return begin < 0 ? '/' : end < 0 ? url.slice(begin) : url.slice(begin, begin + end)
}

/**
 * The id that is a segment of the path of a URL; what is not valid UTF-8 is refused, never replaced.
 * @param place of the segment, from the end: -2 is the one before the last
 */
export function pathId(url: string, name: string, place = -2): Outcome<string> {
  const segment = decode(pathOf(url).split('/').at(place) ?? '')
  const parsed = segment.ok ? parse(id, segment.value) : segment
  return parsed.ok ? parsed : refuse('invalid_request', `${name}: ${parsed.message}`)
}

/** The ids of `?running=id,id`: split before they are decoded, for an id may hold a comma. Null when it is not there. */
export function runningIds(url: string): Outcome<string[] | null> {
  const list = /[?&]running=([^&#]*)/.exec(url)?.[1]
  if (list === undefined) return done(null)
  const decoded = list
    .split(',')
    .filter((s) => s !== '')
    .map((s) => decode(s.replaceAll('+', ' ')))
  const bad = decoded.find((d) => !d.ok)
  return bad?.ok === false
    ? refuse('invalid_request', `running: ${bad.message}`)
    : done(decoded.flatMap((d) => (d.ok ? [d.value] : [])))
}

function decode(part: string): Outcome<string> {
  try {
    return done(decodeURIComponent(part))
  } catch {
    return refuse('invalid_request', 'is not valid percent-encoded UTF-8')
  }
}
