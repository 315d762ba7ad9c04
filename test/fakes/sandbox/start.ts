/**
 * The sandbox as a program of its own, for shells and workflows: prints its addresses and its key as `name=value`
 * lines, as GITHUB_OUTPUT wants them, and stays until SIGTERM. `start.ts 20` runs its clock 20 times as fast.
 */
import { startSandbox } from './server.ts'

const sandbox = await startSandbox({ speed: Number(process.argv[2] ?? 1) })
process.once('SIGTERM', () => void sandbox.close())
console.log(`api_url=${sandbox.apiUrl}\nmedia_url=${sandbox.mediaUrl}\napi_key=${sandbox.apiKey}`)
