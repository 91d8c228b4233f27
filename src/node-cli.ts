#!/usr/bin/env node
import type { CommandDef } from 'citty'
import { printHelp, runOne, runProgram } from './lib/command-line.js'
import { version } from './lib/version.js'

// The npm package `stacks-inference-node`: the node alone, without SQLite and so without a compiler (ops/npm/package-node.mjs).

const NAME = 'stacks-inference-node'

await runProgram(NAME, async (argv) => {
  if (argv.includes('--version') && argv.length === 1) return printHelp(version)
  const { default: command } = await import('./commands/run-inference-node.js')
  const meta = { name: NAME, version, description: 'Serve the models of a GPU to a coordinator' }
  await runOne('command line', { ...(command as CommandDef), meta }, {}, argv)
})
