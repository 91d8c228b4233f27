import { describeServiceConfig, enrolmentOf, type ServiceConfig } from './config.js'
import { version } from './lib/version.js'
import type { ConfigurationView } from './wire/watch-answers.js'

/**
 * The settings made of text that are shown. Numbers, and what is on or off, always are; a text that is not named here is not, so that
 * a secret which is added one day stays one.
 */
const SHOWN_TEXTS: ReadonlySet<string> = new Set([
  'signer.network',
  'chain.event_observer',
  'chain.event_observer_allow',
  'chain.submissions_from',
  'chain.boot_address',
  'openai.user_address',
  'metrics.host',
  'inference.database_path',
  'inference.api_host',
  'inference.backup_dir',
  'inference.public_hosts',
  'inference.trusted_proxies',
  'inference.cors_origins',
  'inference.families',
  'inference.auth.mode',
  'inference.auth.enrolment',
  'inference.auth.legacy_unsigned',
])
/** Of these the scheme, the host and the port: a URL may hold a password, or the key of who serves it. */
const URLS: ReadonlySet<string> = new Set(['signer.endpoint', 'chain.miner_endpoint'])

type Value = ConfigurationView['settings'][number]['value']
type Settings = Omit<ServiceConfig, 'signer'> & { signer?: ServiceConfig['signer'] | undefined }

const valueAt = (settings: object, path: readonly string[]): unknown =>
  path.reduce<unknown>(
    (at, name) => (typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[name] : undefined),
    settings,
  )

/** What an operator is told of the settings; sections that are not there are left out. */
export function shownSettings(settings: Settings): ConfigurationView {
  const { inference } = settings
  const effective = {
    ...settings,
    inference: { ...inference, auth: { ...inference.auth, enrolment: enrolmentOf(inference) } },
  }
  const rows = describeServiceConfig().flatMap(({ key, default: fallback = null }) => {
    const path = key.split('.')
    if (valueAt(effective, path.slice(0, 1)) === undefined) return []
    const value = valueAt(effective, path) ?? null
    const isShown = value === null || typeof value === 'number' || typeof value === 'boolean' || SHOWN_TEXTS.has(key)
    const shown = isShown ? value : URLS.has(key) && typeof value === 'string' ? new URL(value).origin : null
    return [{ key, value: shown as Value, default: fallback as Value, hidden: shown === null && value !== null }]
  })
  return { version, runtime: process.version, settings: rows }
}
