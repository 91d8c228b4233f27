const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

/**
 * A UUID of version 7: ids that sort by time are cheap to store for the service. Not `randomUUID`, which a page that came
 * without TLS does not have.
 */
export function newTaskId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(10))
  bytes[0] = 0x70 | ((bytes[0] ?? 0) & 0x0f) // the version
  bytes[2] = 0x80 | ((bytes[2] ?? 0) & 0x3f) // the variant
  const time = Date.now().toString(16).padStart(12, '0')
  const random = hex(bytes)
  return `${time.slice(0, 8)}-${time.slice(8)}-${random.slice(0, 4)}-${random.slice(4, 8)}-${random.slice(8)}`
}
