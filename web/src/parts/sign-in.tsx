import { useState } from 'preact/hooks'
import { refusedToken, setToken, token } from '../state/api.js'
import { words } from '../words/index.js'
import { roleOfToken } from '../state/rights.js'

/** Asks for a token. It stays in this tab, and goes to nobody but the service. */
export function SignIn() {
  const t = words.value
  const [text, setText] = useState('')
  const [isWrong, setWrong] = useState(false)
  const submit = (event: Event): void => {
    event.preventDefault()
    const given = text.trim()
    const isToken = roleOfToken(given) !== null
    setWrong(!isToken)
    if (isToken) setToken(given)
  }
  const problem = isWrong ? t.signIn.noToken : token.value === null ? null : refusedToken.value
  return (
    <main class="sign-in" id="main">
      <h1>{t.signIn.title}</h1>
      <p>{t.signIn.why}</p>
      <form onSubmit={submit}>
        <label for="token">{t.signIn.label}</label>
        <input
          id="token"
          type="password"
          value={text}
          onInput={(e) => setText(e.currentTarget.value)}
          autocomplete="off"
          spellcheck={false}
          placeholder="sis_viw_…"
          aria-describedby="token-problem"
        />
        <button type="submit" class="primary">
          {t.signIn.submit}
        </button>
      </form>
      <p id="token-problem" role="alert">
        {problem === null ? '' : problem === '' ? t.signIn.refused : problem}
      </p>
      <p class="quiet">{t.signIn.how}</p>
      <pre tabIndex={0}>
        <code>npx stacks-signer tokens create --role viewer --name dashboard --config ./config/signer.toml</code>
      </pre>
      <p class="quiet">{t.signIn.kept}</p>
    </main>
  )
}
