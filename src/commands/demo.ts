import { defineCommand } from 'citty'
import { runDemo } from '../demo/demo.js'

export default defineCommand({
  meta: { name: 'demo', description: 'Show the whole service at work, in a minute, on this machine' },
  async run() {
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
