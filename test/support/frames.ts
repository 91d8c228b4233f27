const MASKED = 0x80
const FINAL = 0x80

/** A WebSocket frame as a client sends it. Its mask is zero, which leaves the payload as it is. */
export function clientFrame(opcode: number, payload: Buffer, final = true): Buffer {
  const { length } = payload
  const size =
    length < 126
      ? [MASKED | length]
      : length < 65_536
        ? [MASKED | 126, length >> 8, length & 0xff]
        : [MASKED | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (length >>> shift) & 0xff)]
  return Buffer.concat([Buffer.from([(final ? FINAL : 0) | opcode, ...size, 0, 0, 0, 0]), payload])
}
