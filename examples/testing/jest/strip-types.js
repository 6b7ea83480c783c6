// Node's own way to read TypeScript, for Jest.
import { stripTypeScriptTypes } from 'node:module'

export default { process: (code) => ({ code: stripTypeScriptTypes(code) }) }
