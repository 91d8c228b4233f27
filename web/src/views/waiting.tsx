import type { InferOutput } from 'valibot'
import type { waitingView } from '../../../src/wire/task-answers.js'
import { language } from '../state/settings.js'
import { number } from '../parts/format.js'
import { Panel, Scroll } from '../parts/notes.js'
import { paths } from '../parts/paths.js'
import { shellWord } from '../parts/shell.js'
import { words } from '../words/index.js'

/** Why a task is not worked on, what each node that serves its model has to do with it, and the way out. */
export function Waiting({ waiting, model }: { waiting: InferOutput<typeof waitingView>; model: string }) {
  const t = words.value
  const { reason, explanation, position, nodes } = waiting
  return (
    <Panel title={t.waiting.title}>
      <p>
        <b>{t.waiting.reasons[reason]}</b>{' '}
        {t.waiting.position(typeof position === 'number' ? number(position) : position)}
      </p>
      {/* The service speaks English. */}
      <p lang="en" class={language.value === 'en' ? 'sentence' : 'sentence quiet'}>
        {explanation}
      </p>
      <p>{t.waiting.out[reason]}</p>
      {(reason === 'no_node_for_model' || reason === 'no_node_online') && (
        <pre tabIndex={0}>
          <code>{`npx stacks-signer run-inference-node --coordinator ${location.origin} --model ${shellWord(model)} --base-url http://127.0.0.1:11434/v1`}</code>
        </pre>
      )}
      {nodes.length > 0 && (
        <Scroll label={t.waiting.nodes}>
          <table class="small">
            <thead>
              <tr>
                <th scope="col">{t.tasks.node}</th>
                <th scope="col">{t.waiting.why}</th>
              </tr>
            </thead>
            <tbody>
              {nodes.map(({ node_id, why }) => (
                <tr key={node_id}>
                  <th scope="row">
                    <a href={paths.node(node_id)}>{node_id}</a>
                  </th>
                  <td>{t.waiting.whyNot[why]}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  )
}
