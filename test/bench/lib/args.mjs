import { parseArgs } from 'node:util'

/** Options that every benchmark takes: default, value with --quick, what it means. */
const common = {
  runs: [3, 1, 'runs of each case; the median is shown'],
  out: ['', '', 'folder for the JSON report; the temporary folder of the system when empty'],
  cli: ['', '', "the service's cli.js; that of this checkout when empty"],
}

/**
 * The options of a benchmark. `spec` is name -> [default, value with --quick, meaning]; the kind of the default (number,
 * string or boolean) is the kind of the option. `quick` and the common ones are always there. --help prints and exits.
 */
export function readArgs(about, spec = {}, argv = process.argv.slice(2)) {
  const all = { ...spec, ...Object.fromEntries(Object.entries(common).filter(([name]) => !(name in spec))) }
  const kinds = Object.fromEntries(
    Object.entries(all).map(([name, [value]]) => [name, { type: typeof value === 'boolean' ? 'boolean' : 'string' }]),
  )
  let values
  try {
    values = parseArgs({
      args: argv,
      options: { ...kinds, quick: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
    }).values
  } catch (error) {
    console.error(`${error.message}; --help lists the options`)
    process.exit(2)
  }
  if (values.help) {
    const lines = Object.entries(all).map(
      ([name, [value, , meaning]]) => `  --${`${name}=${value}`.padEnd(24)} ${meaning}`,
    )
    console.log([about, ...lines, '  --quick                    a short pass'].join('\n'))
    process.exit(0)
  }
  const given = Object.entries(all).map(([name, [value, quick]]) => [
    name,
    convert(name, value, values[name] ?? (values.quick ? quick : value)),
  ])
  return { ...Object.fromEntries(given), quick: values.quick }
}

function convert(name, model, value) {
  if (typeof model !== 'number') return value
  const number = Number(value)
  if (Number.isFinite(number) && number >= 0 && value !== '') return number
  console.error(`--${name} must be a number from 0`)
  process.exit(2)
}
