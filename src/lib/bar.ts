/** So many full ones out of so many, as `##..`; of more than all: all. */
export const fill = (full: number, total: number): string =>
  `${'#'.repeat(Math.min(full, total))}${'.'.repeat(Math.max(0, total - full))}`

/** A bar of `done` out of `total`. */
export const bar = (done: number, total: number, width = 20): string =>
  `[${fill(total === 0 ? 0 : Math.round((done / total) * width), width)}] ${done}/${total}`
