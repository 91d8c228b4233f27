import { computed, signal } from '@preact/signals'
import { choose, language, type Language } from '../state/settings.js'
import type { en } from './en.js'

/** The same keys, and functions of the same arguments. */
export type Words<T = typeof en> = {
  readonly [K in keyof T]: T[K] extends (...given: infer A) => string
    ? (...given: A) => string
    : T[K] extends string
      ? string
      : Words<T[K]>
}

/** Each language is a file of its own: a page loads one. */
const dictionaries: Readonly<Record<Language, () => Promise<Words>>> = {
  en: () => import('./en.js').then(({ en }) => en),
  zh: () => import('./zh.js').then(({ zh }) => zh),
}
const spoken = signal<Words | null>(null)

/** The words of the page in its language: what reads them is drawn anew when that changes. */
export const words = computed<Words>(() => {
  if (spoken.value === null) throw new Error('no language was loaded yet')
  return spoken.value
})

/** Loads a language, and uses it from then on. */
export async function speak(next: Language): Promise<void> {
  spoken.value = await dictionaries[next]()
  if (language.value !== next) choose.language(next)
}
