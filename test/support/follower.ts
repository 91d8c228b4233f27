import { errorEnvelope } from '../../src/wire/envelope.js'
import { startHttp } from './http-server.js'

/** A coordinator that does not own the work: it answers every call, and every upgrade, with who does. */
export async function startFollower(owner: () => string | null) {
  let calls = 0
  const { url, port, stop } = await startHttp((_, response) => {
    calls++
    const body = errorEnvelope('not_owner', 'another coordinator has the work', null, owner())
    response.writeHead(503, { 'retry-after': '1', 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  return {
    url,
    port,
    stop,
    /** How often it was asked. */
    calls: () => calls,
  }
}
