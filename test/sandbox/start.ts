/**
 * The sandbox as a program of its own, for shells and workflows: prints its addresses and its key as `name=value`
 * lines, as GITHUB_OUTPUT wants them, and stays until SIGTERM.
 */
import { startSandbox } from './server.ts'

const sandbox = await startSandbox()
process.once('SIGTERM', () => void sandbox.close())
console.log(`api_url=${sandbox.apiUrl}\nmedia_url=${sandbox.mediaUrl}\napi_key=${sandbox.apiKey}`)
