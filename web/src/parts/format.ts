import { language } from '../state/settings.js'
import type { Counted } from '../words/en.js'
import { words } from '../words/index.js'

// How figures and times are written, in the language of the page.

const locale = (): string => (language.value === 'zh' ? 'zh-CN' : 'en-GB')
const formats = new Map<string, Intl.NumberFormat>()
const format = (name: string, options: Intl.NumberFormatOptions): Intl.NumberFormat => {
  const key = `${locale()} ${name}`
  const known = formats.get(key)
  if (known !== undefined) return known
  const made = new Intl.NumberFormat(locale(), options)
  formats.set(key, made)
  return made
}

/** What stands where there is nothing to show. */
export const NONE = '–'

export const number = (n: number | null | undefined): string =>
  n == null ? NONE : format('number', { maximumFractionDigits: 0 }).format(n)

/** A number for words that depend on it. */
export const counted = (n: number): Counted => ({ n, text: number(n) })

/** A rate: small ones with fractions. */
export const rate = (n: number | null | undefined): string =>
  n == null ? NONE : format(n < 10 ? 'rate' : 'number', { maximumFractionDigits: n < 10 ? 2 : 0 }).format(n)

/** So much of a share is the least that is written. */
const LEAST_SHARE = 0.001
/** A share from 0 to 1. */
export function percent(share: number | null | undefined): string {
  if (share == null) return NONE
  if (share > 0 && share < LEAST_SHARE) return `< ${percent(LEAST_SHARE)}`
  const small = share < 0.1
  return format(small ? 'small percent' : 'percent', {
    style: 'percent',
    maximumFractionDigits: small ? 1 : 0,
  }).format(share)
}

export function bytes(n: number): string {
  if (n < 1000) return `${number(n)} B`
  const units = ['kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const
  const at = Math.min(units.length, Math.floor(Math.log10(n) / 3))
  const unit = units[at - 1] ?? 'terabyte'
  return format(unit, { style: 'unit', unit, maximumFractionDigits: 1 }).format(n / 1000 ** at)
}

const UNITS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const

/** A duration, by its largest unit; above a minute with the next one: `4m 10s`. */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null) return NONE
  if (seconds < 1) {
    const ms = { style: 'unit', unit: 'millisecond', unitDisplay: 'narrow', maximumFractionDigits: 0 } as const
    return format('ms', ms).format(Math.max(0, Math.round(seconds * 1000)))
  }
  const unit = (name: string, n: number, digits = 0): string =>
    format(`${name} ${digits}`, {
      style: 'unit',
      unit: name,
      unitDisplay: 'narrow',
      maximumFractionDigits: digits,
    }).format(n)
  if (seconds < 59.95) return unit('second', seconds, seconds < 10 ? 1 : 0)
  const whole = Math.round(seconds)
  const at = UNITS.findIndex(([, size]) => whole >= size)
  const [name, size] = UNITS[at] ?? UNITS[2]
  const [nextName, nextSize] = UNITS[at + 1] ?? ['second', 1]
  const rest = Math.floor((whole % size) / nextSize)
  return unit(name, Math.floor(whole / size)) + (rest === 0 ? '' : ` ${unit(nextName, rest)}`)
}

const times = new Map<string, Intl.DateTimeFormat>()
const timeFormat = (name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat => {
  const key = `${locale()} ${name}`
  const known = times.get(key)
  if (known !== undefined) return known
  const made = new Intl.DateTimeFormat(locale(), options)
  times.set(key, made)
  return made
}
const CLOCK = { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false } as const
const DAY = { year: 'numeric', month: 'short', day: 'numeric' } as const

/** A time of day; with its day, where that is not today. @param ms Unix ms */
export function time(ms: number | null | undefined, now: number = Date.now()): string {
  if (ms == null) return NONE
  const isToday = new Date(ms).toDateString() === new Date(now).toDateString()
  return isToday ? timeFormat('clock', CLOCK).format(ms) : timeFormat('day', { ...DAY, ...CLOCK }).format(ms)
}
/** The same, whole. */
export const fullTime = (ms: number): string => timeFormat('day', { ...DAY, ...CLOCK }).format(ms)

const STX = 1_000_000
/** Micro-STX. */
export const stx = (micro: number): string => `${format('stx', { maximumFractionDigits: 6 }).format(micro / STX)} STX`

/** What a model is called: all that have no row of their own are one. */
export const modelName = (model: string): string => (model === 'other' ? words.value.models.other : model)
