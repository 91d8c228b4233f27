import { expect, test } from 'vitest'
import { startService, task } from '../support/service.js'

test('the family of a model is found in its name, whatever its case', async () => {
  const service = await startService({ families: { qwen: ['qwen', 'tongyi'] } })
  const families = {
    deepseek: ['deepseek', 'DeepSeek-R1', 'deepseek-r1-distill-llama-8b'],
    llama: ['llama', 'LLAMA', 'Meta-Llama-3-8B', 'codellama:7b'],
    mistral: ['mistral', 'Mistral-7B', 'mixtral-8x7b', 'open-MIXTRAL'],
    gemma: ['gemma', 'CodeGemma'],
    gptneox: ['gptneox', 'gpt-neox-20b', 'GPT-Neo-2.7B', 'gpt-j-6b', 'NeoX'],
    unknown: ['unknown', 'phi-3', 'gpt-4', 'x'],
    qwen: ['qwen', 'Qwen2.5-7B', 'tongyi-1'],
  }
  for (const [family, names] of Object.entries(families)) {
    for (const model_name of names)
      expect(await service.status(await service.submit({ model_name }))).toMatchObject({
        model_name,
        model_type: family,
      })
  }
})

test('a node gets the tasks of the families it lists, of the very models it lists, and no others', async () => {
  const service = await startService()
  const asked = [
    'llama',
    'llama-3-8b',
    'LLAMA-3-8B',
    'llama-2',
    'mixtral-8x7b',
    'mistral',
    'phi-3',
    'PHI-3',
    'phi-2',
    'unknown',
    'gemma-2',
  ]
  const served: [string[], string[]][] = [
    [['Llama'], ['llama', 'llama-3-8b', 'LLAMA-3-8B', 'llama-2']],
    [['Llama-3-8b'], ['llama', 'llama-3-8b', 'LLAMA-3-8B']],
    [['mistral'], ['mixtral-8x7b', 'mistral']],
    [['mixtral-8x7b'], ['mixtral-8x7b', 'mistral']],
    [['phi-3'], ['phi-3', 'PHI-3']],
    [['unknown'], ['unknown']],
    [
      ['phi-2', 'gemma'],
      ['phi-2', 'gemma-2'],
    ],
    [['phi'], []],
    [[], []],
  ]
  for (const [i, [supported_models, expected]] of served.entries()) {
    const node = `node-${i}`
    await service.register(node, { supported_models, max_concurrent_tasks: 20 })
    const tasks = asked.map((model_name, n) => task({ task_id: `${i}-${n}`, model_name }))
    await service.post('/api/v1/tasks/batch', { tasks })
    const got: string[] = []
    for (let t = await service.poll(node); t !== null; t = await service.poll(node)) got.push(t.model_name as string)
    expect(got.toSorted()).toEqual(expected.toSorted())
    // What is left would be served by the next node too: it is taken out of the way.
    await service.register('cleaner', {
      supported_models: asked.concat('gemma', 'mistral'),
      max_concurrent_tasks: 1024,
    })
    for (let t = await service.poll('cleaner'); t !== null; t = await service.poll('cleaner'));
  }
})
