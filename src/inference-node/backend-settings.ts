import * as v from 'valibot'
import { yesOrNo } from '../lib/setting-fields.js'
import { described, seconds } from '../lib/settings.js'
import { DEFAULT_BASE_URL } from './backends/openai.js'

const HTTP_URL = `must be an http or https URL, such as "${DEFAULT_BASE_URL}"`
const isHttp = (text: string): boolean => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
const httpUrl = v.pipe(v.string(HTTP_URL), v.check(isHttp, HTTP_URL))
const VARIABLE = 'must be the name of an environment variable'
const VARIABLES = 'must be a list of names of environment variables'
const variable = v.pipe(v.string(VARIABLE), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, VARIABLE))
const PROGRAM = 'must be a program: a path, or a name in PATH'
export const DEFAULT_KEY_VARIABLE = 'OPENAI_API_KEY'
const mapping = v.record(
  v.string(),
  v.pipe(v.string("must be the server's name of a model"), v.minLength(1, "must be the server's name of a model")),
  'must be a section of model names',
)

export const backendTypes = ['openai', 'generate', 'command', 'echo'] as const

/** `[backend]` */
export const backendSettings = v.strictObject({
  type: described(
    v.optional(v.picklist(backendTypes, 'must be one of "openai", "generate", "command", "echo"'), 'openai'),
    'What does the inference: openai (any server with that API: Ollama, vLLM, llama.cpp, LM Studio), generate (POST {"prompt"} -> {"text"}), command (a program for each task) or echo (for trying out).',
  ),
  base_url: described(
    v.optional(httpUrl, DEFAULT_BASE_URL),
    'openai: the URL of the API, up to and with the version; without one /v1 is tried too.',
  ),
  url: described(v.optional(httpUrl), 'generate: the URL that prompts are posted to.'),
  command: described(
    v.optional(v.pipe(v.string(PROGRAM), v.minLength(1, PROGRAM))),
    'command: the program; the prompt is its standard input, the answer its standard output.',
  ),
  args: described(
    v.optional(v.array(v.string('must be a text'), 'must be a list of texts'), []),
    'command: its arguments.',
  ),
  env: described(
    v.optional(v.pipe(v.array(variable, VARIABLES), v.maxLength(256, 'must name at most 256 variables')), []),
    'command: the environment variables of the node that it gets beside PATH, HOME and LANG.',
  ),
  api_key_env: described(
    v.optional(variable, DEFAULT_KEY_VARIABLE),
    'openai: the environment variable that holds the API key.',
  ),
  tools: yesOrNo(
    true,
    'openai: whether the models call tools; tasks with tools come only to nodes of which it is said.',
  ),
  images: yesOrNo(
    true,
    'openai: whether the models see images. The model server fetches those of which a task gives only the address: false where it can reach what strangers must not.',
  ),
  embeddings: yesOrNo(
    false,
    'openai: whether the model server makes embeddings too, at /embeddings. Offered once it has made one for a model of the node.',
  ),
  stall_timeout: seconds(
    1,
    86_400,
    120,
    'openai, generate: a model server that sends no byte for this long counts as hanging.',
  ),
  delay: seconds(0, 3600, 0, 'echo: the pause before each word.'),
  models: described(
    v.optional(mapping, {}),
    "openai: what the model server calls a model, where it is not the served name: served name = server's name.",
  ),
})
