import { InferenceError } from './errors.js'

/** Where a service is. */
export interface Address {
  /** Of its REST API, without a slash at its end and without a login. */
  base: string
  /** Of its task sessions; null where the address has a login, which a WebSocket cannot show everywhere. */
  session: string | null
  /** The login of the address, for a proxy that wants one, as the value of a header; null where there is none. */
  login: string | null
}

/** Of services that stand for each other. */
export type Addresses = readonly [Address, ...Address[]]

/** @throws InferenceError when there is none, or one is no address of a service */
export function readAddresses(urls: string | readonly string[], sessionPath: string): Addresses {
  const [first = '', ...more] = typeof urls === 'string' ? [urls] : urls
  return [readAddress(first, sessionPath), ...more.map((url) => readAddress(url, sessionPath))]
}

function readAddress(text: string, sessionPath: string): Address {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new InferenceError(
      'invalid_request',
      `url: must be an address such as http://127.0.0.1:8080, not ${JSON.stringify(text)}`,
    )
  const { protocol, host, pathname, username, password } = new URL(text)
  const rest = `${host}${pathname.replace(/\/+$/, '')}`
  const hasLogin = username !== '' || password !== ''
  return {
    base: `${protocol}//${rest}`,
    session: hasLogin ? null : `${protocol === 'https:' ? 'wss' : 'ws'}://${rest}${sessionPath}`,
    login: hasLogin ? `Basic ${base64(`${decode(username)}:${decode(password)}`)}` : null,
  }
}

const decode = (part: string): string => {
  try {
    return decodeURIComponent(part)
  } catch {
    return part // a "%" that is meant as it is
  }
}
const base64 = (text: string): string => btoa(String.fromCharCode(...new TextEncoder().encode(text)))
