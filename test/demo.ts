/**
 * The main use in one command: `npm start` runs the built action against the sandbox, with the clip and image in this
 * repository. If APIMART_API_KEY is set, it runs against APIMart itself, with the inputs passed as flags.
 */
import { writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { parseArgs } from 'node:util'
import { realClock } from './fakes/sandbox/clock.ts'
import { startSandbox } from './fakes/sandbox/server.ts'
import { readAction, runStep, type StepResult } from './harness/action.ts'
import { renderPage } from './harness/github-page.ts'
import { demoInputs } from './harness/inputs.ts'

/** How many times faster than real time the clocks of the sandbox and the step run. */
const SPEED = 60

const { inputs } = await readAction()
const given = readFlags()
const result = process.env.APIMART_API_KEY
  ? await runForReal(process.env.APIMART_API_KEY)
  : await runInSandbox()
if (result) await show(result)
process.exitCode = result?.exitCode ?? 1

/** The inputs passed as flags. Anything else prints the usage and exits. */
function readFlags(): Record<string, string> {
  const names = Object.keys(inputs)
  try {
    const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]))
    const { values } = parseArgs({
      options: { ...options, yes: { type: 'boolean' }, help: { type: 'boolean' } },
    })
    const texts = Object.entries(values).map(([name, value]) => [name, String(value)])
    if (!values.help) return Object.fromEntries(texts)
    console.log(usage(names))
    process.exit(0)
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage(names)}`)
    process.exit(2)
  }
}

function usage(names: string[]): string {
  return `npm start -- [--INPUT VALUE ...] [--yes]

Runs the built action against the sandbox, or against APIMart itself when APIMART_API_KEY is set, which costs money:
--yes confirms that in advance. Inputs are those of action.yml: ${names.join(', ')}.`
}

async function runInSandbox(): Promise<StepResult> {
  const start = Date.now()
  await using sandbox = await startSandbox({ clock: realClock(SPEED, start) })
  console.log(
    `The sandbox stands in for APIMart at ${sandbox.apiUrl}. Nothing is paid, and a minute takes a second.\n`,
  )
  const demo = {
    ...demoInputs(sandbox),
    prompt: 'The hero walks on the spot, waves and turns around',
    price_per_second: '0.057',
    max_cost: '1',
    wait: 'true',
  }
  const output = given.wait === undefined ? { output_path: 'assets/video.mp4' } : {}
  return await runStep({ with: { ...demo, ...output, ...given }, time: { speed: SPEED, start } })
}

async function runForReal(apiKey: string): Promise<StepResult | null> {
  const { yes, ...flags } = given
  if (/^true$/i.test(flags.dry_run ?? '')) {
    console.log('APIMART_API_KEY is set, but this is a dry run: nothing is submitted and nothing is paid.\n')
  } else {
    console.log(
      'APIMART_API_KEY is set: this submits a task to APIMart and COSTS MONEY, about 0.20 to 4.00 USD.',
    )
    if (!yes && !(await confirm())) {
      console.log(
        'Nothing was sent. Agree with --yes, try --dry_run true, or unset APIMART_API_KEY for the sandbox.',
      )
      return null
    }
  }
  return runStep({ with: { api_key: apiKey, ...flags } })
}

async function confirm(): Promise<boolean> {
  if (!process.stdin.isTTY) return false
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  const answer = await terminal.question('Submit and pay? Type yes: ')
  terminal.close()
  return answer.trim() === 'yes'
}

async function show({ log, outputs, summary, summaryFile, exitCode }: StepResult): Promise<void> {
  const page = summaryFile.replace(/\.md$/, '.html')
  await writeFile(page, await renderPage('video summary', summary))
  console.log(`--- log ---\n${asOnGitHub(log)}`)
  console.log('--- outputs ---')
  for (const [name, value] of Object.entries(outputs)) console.log(`${name}=${value}`)
  console.log(
    `\n--- summary ---\nMarkdown: ${summaryFile}\nPage:     ${page}\n\nThe step ended with exit code ${exitCode}.`,
  )
}

/** Workflow commands as the log page shows them. */
function asOnGitHub(log: string): string {
  return (
    log
      // The toolkit uses the line endings of the system.
      .replaceAll('\r\n', '\n')
      .replace(/^::(?:add-mask|debug)::.*\n/gm, '')
      .replace(/^::group::(.*)$/gm, '▼ $1')
      .replace(/^::endgroup::\n/gm, '')
      .replace(/^::(error|warning)::(.*)$/gm, (_, kind: string, text: string) => {
        const shown = text.replaceAll('%0A', '\n').replaceAll('%0D', '\r').replaceAll('%25', '%')
        return `${kind === 'error' ? 'Error' : 'Warning'}: ${shown}`
      })
  )
}
