import type { JsonSchema } from './json-schemas.js'
import type { Operation, RestDocument } from './openapi.js'

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
const text = (s: string): string => s.replace(/[&<>"']/g, (c) => escapes[c] ?? '')
/** The parts of CommonMark that descriptions have: code, and links within the service. */
const prose = (s: string): string =>
  text(s)
    .replace(/`([^`]+)`/g, '<code>$1</code>')
    .replace(/\[([^\]]+)\]\((\/[\w./-]*)\)/g, '<a href="$2">$1</a>')
const paragraphs = (s: string): string =>
  s
    .split('\n')
    .map((line) => `<p>${prose(line)}</p>`)
    .join('')

export const PAGE_STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}' +
  'h2{border-bottom:1px solid #ccc}h3 code{font-size:1rem}ul{margin:.2rem 0}code{background:#f2f2f2;padding:0 .2rem}' +
  '.method{display:inline-block;min-width:4.5rem;font-weight:bold}details{margin:.3rem 0}'

const nameOf = (ref: string): string => ref.split('/').at(-1) ?? ''

/** What a schema takes, in a few words; of an object its fields follow in a list. */
function kindOf({ $ref, type, enum: values, const: constant, anyOf, items, contentSchema }: JsonSchema): string {
  if ($ref !== undefined) return `<a href="#${text(nameOf($ref))}">${text(nameOf($ref))}</a>`
  if (constant !== undefined) return `<code>${text(JSON.stringify(constant))}</code>`
  if (values !== undefined) return values.map((value) => `<code>${text(String(value))}</code>`).join(' | ')
  if (anyOf !== undefined) return anyOf.map(kindOf).join(' or ')
  if (contentSchema !== undefined) return `text: ${kindOf(contentSchema)}`
  return items === undefined ? text(type ?? 'anything') : `array of ${kindOf(items)}`
}
function fieldsOf(schema: JsonSchema): string {
  const { properties, required = [], anyOf = [], items, contentSchema } = schema
  const inner = [items, contentSchema].filter((one) => one !== undefined)
  if (properties === undefined) return [...anyOf, ...inner].map(fieldsOf).join('')
  const fields = Object.entries(properties).map(([name, field]) => {
    const need = required.includes(name) ? '' : ', may be missing'
    const { description } = field
    const note = description === undefined ? '' : `: ${prose(description)}`
    return `<li><code>${text(name)}</code> (${kindOf(field)}${need})${note}${fieldsOf(field)}</li>`
  })
  return `<ul>${fields.join('')}</ul>`
}
const contentOf = (content: Record<string, { schema: JsonSchema }> = {}): string =>
  Object.entries(content)
    .map(([media, { schema }]) => `${text(media)}, ${kindOf(schema)}${fieldsOf(schema)}`)
    .join('')

function operation(method: string, path: string, o: Operation, { components }: RestDocument): string {
  const parameters = (o.parameters ?? []).map(
    (p) =>
      `<li><code>${text(p.name)}</code> (in the ${text(p.in)}, ${kindOf(p.schema)}${p.required ? '' : ', may be missing'})` +
      `${p.description === undefined ? '' : `: ${prose(p.description)}`}</li>`,
  )
  const answers = Object.entries(o.responses).map(([status, answer]) =>
    answer.$ref === undefined
      ? `<li>${text(status)}: ${answer.content === undefined ? 'no body' : contentOf(answer.content)}</li>`
      : `<li>${text(status)}: ${prose(components.responses[nameOf(answer.$ref)]?.description ?? '')}</li>`,
  )
  const roles = Object.entries(o['x-roles'] ?? {}).map(([role, reach]) => `${text(role)} (${text(reach)})`)
  return [
    `<h3 id="${text(o.operationId)}"><span class="method">${method.toUpperCase()}</span> <code>${text(path)}</code></h3>`,
    `<p>${prose(o.summary)}. ${prose(o.description ?? '')}</p>`,
    roles.length === 0 ? '' : `<p>Who may ask: ${roles.join(', ')}</p>`,
    parameters.length === 0 ? '' : `<p>Parameters</p><ul>${parameters.join('')}</ul>`,
    o.requestBody === undefined ? '' : `<p>Body: ${contentOf(o.requestBody.content)}</p>`,
    o.callbacks === undefined ? '' : '<p>Its end is posted as a <a href="#CallbackMessage">CallbackMessage</a></p>',
    `<details><summary>Answers</summary><ul>${answers.join('')}</ul></details>`,
  ].join('')
}

/** The contract as one page of HTML without scripts, for where there is nothing better. */
export function plainPage(document: RestDocument): string {
  const { info, tags, paths, components } = document
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, o]) => ({ tag: o.tags[0], html: operation(method, path, o, document) })),
  )
  const sections = tags.map(
    ({ name, description }) =>
      `<h2>${text(name)}</h2><p>${prose(description)}.</p>${all
        .filter(({ tag }) => tag === name)
        .map(({ html }) => html)
        .join('')}`,
  )
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) => `<h3 id="${text(name)}">${text(name)}</h3><p>${kindOf(schema)}</p>${fieldsOf(schema)}`,
  )
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${text(info.title)}</title><link rel="icon" href="data:,"><style>${PAGE_STYLE}</style></head><body>
<h1>${text(info.title)} ${text(info.version)}</h1>${paragraphs(info.description)}
<p>The same <a href="openapi.json">for programs</a>.</p>
${sections.join('\n')}
<h2>Schemas</h2>${schemas.join('\n')}
</body></html>
`
}
