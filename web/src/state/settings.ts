import { effect, signal } from '@preact/signals'

export type Language = 'en' | 'zh'
/** `auto`: as the system has it. */
export type Theme = 'auto' | 'light' | 'dark'

/** A browser may forbid to keep anything; then nothing is kept. */
const kept = (name: string): string | null => {
  try {
    return localStorage.getItem(name)
  } catch {
    return null
  }
}
const keep = (name: string, value: string): void => {
  try {
    localStorage.setItem(name, value)
  } catch {
    // It holds for this page then.
  }
}

const spoken = (): Language => (navigator.languages[0]?.toLowerCase().startsWith('zh') === true ? 'zh' : 'en')
const languageOf = (text: string | null): Language => (text === 'en' || text === 'zh' ? text : spoken())
const themeOf = (text: string | null): Theme => (text === 'light' || text === 'dark' ? text : 'auto')

export const language = signal<Language>(languageOf(kept('language')))
export const theme = signal<Theme>(themeOf(kept('theme')))
/** For a screen on a wall: no controls, large figures. */
export const kiosk = signal(new URLSearchParams(location.search).get('kiosk') === '1')

const systemIsDark = matchMedia('(prefers-color-scheme: dark)')
const isSystemDark = signal(systemIsDark.matches)
systemIsDark.addEventListener('change', ({ matches }) => (isSystemDark.value = matches))
/** Whether the page is dark now: what draws by itself, such as a chart, draws again when this changes. */
export const isDark = (): boolean => (theme.value === 'auto' ? isSystemDark.value : theme.value === 'dark')

export const choose = {
  language(next: Language): void {
    language.value = next
    keep('language', next)
  },
  theme(next: Theme): void {
    theme.value = next
    keep('theme', next)
  },
}

/** Tells the document what was chosen, for as long as the page is there. */
export function applySettings(): void {
  effect(() => {
    document.documentElement.lang = language.value === 'zh' ? 'zh-CN' : 'en'
    document.documentElement.dataset['theme'] = theme.value
    document.documentElement.dataset['kiosk'] = kiosk.value ? '1' : '0'
  })
}
