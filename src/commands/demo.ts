import { defineCommand } from 'citty'
import { runClusterDemo } from '../demo/cluster/demo.js'
import { runDemo } from '../demo/demo.js'

export default defineCommand({
  meta: { name: 'demo', description: 'Show the whole service at work, in a minute, on this machine' },
  args: {
    cluster: {
      type: 'boolean',
      default: false,
      description:
        'Two coordinators on a replicated log instead, of which one is lost with its disk; needs nats-server',
    },
  },
  async run({ args }) {
    if (args.cluster) {
      if (!(await runClusterDemo())) process.exitCode = 1
      return
    }
    const asItShould = await runDemo()
    if (!asItShould) {
      process.exitCode = 1
      return
    }
    console.log(`
Try next:
  npx stacks-signer run-inference-service --config ./config/signer.toml
  npx stacks-signer run-inference-node --coordinator http://127.0.0.1:8080 --model llama-3-8b --backend echo
  curl -sS http://127.0.0.1:8080/api/v1/stats
With a real model server (Ollama, vLLM, llama.cpp, LM Studio) leave out
--backend echo. The README has the rest.`)
  },
})
