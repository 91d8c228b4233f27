export type Reader = ReturnType<typeof createReader>

/**
 * Reads bytes one field after the other. What ends too early or is not as expected throws what `fail` makes of the sentence,
 * which begins with the name of the field.
 */
export function createReader(bytes: Uint8Array, fail: (message: string) => Error) {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  const take = (field: string, count: number): Buffer => {
    if (view.length - at < count)
      throw fail(
        `${field}: needs ${count} byte${count === 1 ? '' : 's'} at offset ${at}; there are only ${view.length} in all`,
      )
    at += count
    return view.subarray(at - count, at)
  }
  const byte = (field: string): number => take(field, 1).readUInt8()
  return {
    take,
    byte,
    oneOf<T extends number>(field: string, allowed: readonly T[], expected: string): T {
      const value = byte(field)
      const found = allowed.find((one) => one === value)
      if (found === undefined) throw fail(`${field}: must be ${expected}; it is ${hexByte(value)}`)
      return found
    },
    left: () => view.length - at,
  }
}

/** 0 to 255 as two hex digits. */
export const hexByte = (value: number): string => value.toString(16).padStart(2, '0')
