import type { ConfigurationView } from '../../../src/wire/watch-answers.js'
import { NONE } from '../parts/format.js'
import { Scroll } from '../parts/notes.js'
import { words } from '../words/index.js'

type Setting = ConfigurationView['settings'][number]

/** A value as the configuration file has it. */
const written = (value: Setting['value']): string =>
  value === null
    ? NONE
    : typeof value === 'object' && !Array.isArray(value)
      ? `{ ${Object.entries(value)
          .map(([name, list]) => `${name} = ${JSON.stringify(list)}`)
          .join(', ')} }`
      : JSON.stringify(value)
const isChanged = ({ value, default: fallback, hidden }: Setting): boolean =>
  hidden || (value !== null && written(value) !== written(fallback))

function Table({ settings, label }: { settings: readonly Setting[]; label: string }) {
  const t = words.value
  return (
    <Scroll label={label}>
      <table class="small">
        <thead>
          <tr>
            <th scope="col">{t.health.setting}</th>
            <th scope="col">{t.health.value}</th>
            <th scope="col">{t.health.fallback}</th>
          </tr>
        </thead>
        <tbody>
          {settings.map((setting) => (
            <tr key={setting.key}>
              <th scope="row">
                <code>{setting.key}</code>
              </th>
              <td>
                {setting.hidden ? (
                  <span class="quiet">{t.health.hidden}</span>
                ) : (
                  <code class="id">{written(setting.value)}</code>
                )}
              </td>
              <td class="quiet">
                <code class="id">{written(setting.default)}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}

/** How the service is set up: what is not as it is by default, and everything on a click. */
export function Settings({ settings }: { settings: readonly Setting[] }) {
  const t = words.value
  const changed = settings.filter(isChanged)
  return (
    <>
      {changed.length === 0 ? (
        <p class="quiet">{t.health.allDefault}</p>
      ) : (
        <Table settings={changed} label={t.health.changed} />
      )}
      <details>
        <summary>{t.health.allSettings}</summary>
        <Table settings={settings} label={t.health.allSettings} />
      </details>
    </>
  )
}
