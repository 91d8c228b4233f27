/** A WebSocket, as browsers have it. */
export interface Socket {
  send(text: string): void
  close(code?: number): void
  onopen: ((event: never) => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number; reason: string }) => void) | null
  onerror: ((event: never) => void) | null
}
type Open = (url: string, protocol: string) => Socket

/** A result comes in one frame, in bytes. */
const MAX_FRAME_BYTES = 512 * 1024 * 1024

/** What opens a WebSocket here: what the platform has, else the package `ws`, as on Node 20; null where there is neither. */
export async function findWebSocket(): Promise<Open | null> {
  if (typeof WebSocket === 'function') return (url, protocol) => new WebSocket(url, protocol) as unknown as Socket
  try {
    const { WebSocket: Own } = await import('ws')
    return (url, protocol) =>
      new Own(url, protocol, { perMessageDeflate: false, maxPayload: MAX_FRAME_BYTES }) as unknown as Socket
  } catch {
    return null // not installed
  }
}
