import type { ClusterReport } from '../../../src/wire/service-answers.js'
import { counted, duration, number } from '../parts/format.js'
import { Icon } from '../parts/icons.js'
import { Facts, Panel, Scroll } from '../parts/notes.js'
import { words } from '../words/index.js'

/** How the coordinators of a cluster stand, as the one says that answers. */
export function Cluster({ cluster }: { cluster: ClusterReport }) {
  const t = words.value
  return (
    <Panel title={t.cluster.title}>
      <Facts
        rows={[
          [t.cluster.coordinator, cluster.coordinator],
          [t.cluster.role, t.cluster.roles[cluster.role]],
          [t.cluster.epoch, number(cluster.epoch)],
          [t.cluster.record, number(cluster.record)],
        ]}
      />
      {cluster.followers.length === 0 ? (
        <p class="mark">
          <Icon name="warn" tone="pending" />
          {t.cluster.alone}
        </p>
      ) : (
        <Scroll label={t.cluster.followers}>
          <table>
            <thead>
              <tr>
                <th scope="col">{t.cluster.follower}</th>
                <th scope="col">{t.cluster.address}</th>
                <th scope="col">{t.cluster.lag}</th>
              </tr>
            </thead>
            <tbody>
              {cluster.followers.map((f) => (
                <tr key={f.coordinator}>
                  <th scope="row">{f.coordinator}</th>
                  <td class="cut">{f.url}</td>
                  <td>
                    {f.behind_records === 0
                      ? t.cluster.level
                      : t.cluster.behind(counted(f.behind_records), duration(f.behind_ms / 1000))}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  )
}
