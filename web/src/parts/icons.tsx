/** The signs of the page: each has a shape of its own, so that nothing is told by colour alone. */
const shapes = {
  circle: 'M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3Z',
  play: 'M5 3.5v9l7.5-4.5Z',
  check: 'M3 8.5 6.5 12 13 4.5',
  double: 'M1.5 8.5 5 12l6-7.5M8 12l6.5-7.5',
  cross: 'M4 4l8 8M12 4l-8 8',
  clock: 'M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11ZM8 5v3.5l2.5 1.5',
  dash: 'M3.5 8h9',
  pause: 'M5.5 4v8M10.5 4v8',
  wrench: 'M10.5 2.5a3 3 0 0 0-3 4L3 11l2 2 4.5-4.5a3 3 0 0 0 4-3.6L11.6 6.8 9.8 6.2 9.2 4.4Z',
  warn: 'M8 2.5 14 13H2ZM8 6.5V9.5M8 11.2v.3',
  snow: 'M8 2v12M2.8 5l10.4 6M13.2 5 2.8 11',
} as const
export type IconName = keyof typeof shapes
const filled: readonly IconName[] = ['play']

/** Decoration beside a word that says the same. */
export function Icon({ name, tone }: { name: IconName; tone?: string }) {
  return (
    <svg class={`icon ${tone === undefined ? '' : `tone-${tone}`}`} viewBox="0 0 16 16" aria-hidden="true">
      <path d={shapes[name]} fill={filled.includes(name) ? 'currentColor' : 'none'} />
    </svg>
  )
}
