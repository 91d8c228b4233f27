import { render } from 'preact'
import { App } from './app.js'
import { applySettings, language } from './state/settings.js'
import './style/page.css'
import './style/parts.css'
import './style/views.css'
import { speak } from './words/index.js'

applySettings()
const root = document.getElementById('app')
if (root === null) throw new Error('index.html has no #app')
await speak(language.value)
render(<App />, root)
