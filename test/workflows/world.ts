/**
 * The environment in which the workflows of a repository run unmodified: the repository, the sandbox, a stand-in for
 * GitHub, the built action, and a shell in which `gh` only records its calls.
 */
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type GitHub, startGitHub } from '../fakes/github/server.ts'
import type { SandboxOptions } from '../fakes/sandbox/server.ts'
import type { StepOptions } from '../harness/action.ts'
import { type Run, type Scenario, startScenario } from '../scenarios/scenario.ts'
import type { EvaluatedStep } from './evaluate.ts'
import type { Value } from './expressions.ts'
import { createRepository, gitEnvironment, type Repository } from './repository.ts'
import { type JobEnd, type Machine, runWorkflow, type StepEnd } from './run.ts'
import type { Workflow } from './workflow.ts'

/** What triggers a workflow. */
export interface Trigger {
  readonly event: 'push' | 'release' | 'schedule' | 'workflow_dispatch'
  /** The payload of the event; by default, what every event of a repository contains. */
  readonly payload?: (github: GitHub) => object
  readonly inputs?: Readonly<Record<string, Value>>
  /** Defaults to main. */
  readonly branch?: string
  /** The tag of a release, instead of a branch. */
  readonly tag?: string
  /** From 2 on, re-runs the last run: "Re-run failed jobs". */
  readonly attempt?: number
}

export interface Circumstances {
  /** Called right before the action starts. */
  readonly meanwhile?: (workspace: string) => Promise<unknown>
  /** Cancels the job as soon as this returns true for the workspace while the action is running. */
  readonly cancelWhen?: (workspace: string) => boolean
}

/** The results of a workflow run. */
export interface WorkflowRun {
  readonly jobs: Record<string, JobEnd[]>
  /** The action's steps, in the order in which they ended. */
  readonly steps: readonly Run[]
  readonly github: GitHub
  /** What the scripts printed. */
  readonly printed: string
}

export interface World extends AsyncDisposable {
  readonly scenario: Scenario
  readonly repository: Repository
  /** The calls of `gh`, each with the token first. */
  asked(): Promise<string[]>
  run(workflow: Workflow, trigger: Trigger, circumstances?: Circumstances): Promise<WorkflowRun>
}

export const TOKEN = 'ghs_0123456789abcdefghijABCDEFGHIJ456789'

/** Starts a world; `places` maps the URLs that the examples name to their stand-ins. */
export async function startWorld(
  options: SandboxOptions = {},
  places: (scenario: Scenario) => Readonly<Record<string, string>> = () => ({}),
): Promise<World> {
  const scenario = await startScenario(options)
  const { sandbox, folder } = scenario
  const repository = await createRepository(folder)
  const [bin, home] = [join(folder, 'bin'), join(folder, 'home')]
  // This file contains the token, which `gh` must receive, so it is outside the folder that is searched for leaks.
  const own = await mkdtemp(join(tmpdir(), 'kling-gh-'))
  const notes = join(own, 'gh.txt')
  await Promise.all([mkdir(bin), mkdir(home), writeFile(notes, '')])
  await writeFile(
    join(bin, 'gh'),
    `#!/bin/sh\nprintf '%s' "$GH_TOKEN" >> '${notes}'\nprintf ' %s' "$@" >> '${notes}'\necho >> '${notes}'\n`,
  )
  await chmod(join(bin, 'gh'), 0o755)
  /** By commit, as each stand-in has exactly one. */
  const standIns = new Map<string, GitHub>()
  const replacements = Object.entries({ 'https://api.apimart.ai': sandbox.apiUrl, ...places(scenario) })
  let runId = 4710
  let lastSha = ''

  function settled(texts: Readonly<Record<string, string>>): Record<string, string> {
    const settle = (text: string) => replacements.reduce((now, [from, to]) => now.replaceAll(from, to), text)
    return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, settle(text)]))
  }

  async function startStandIn(sha: string): Promise<GitHub> {
    const root = await mkdtemp(join(folder, 'commit-'))
    await repository.checkout(root, sha, null)
    const github = await startGitHub({ token: TOKEN, root, sha })
    standIns.set(sha, github)
    return github
  }

  async function run(
    workflow: Workflow,
    trigger: Trigger,
    circumstances: Circumstances = {},
  ): Promise<WorkflowRun> {
    const { event, inputs = {}, branch = 'main', tag, attempt = 1 } = trigger
    const sha = attempt === 1 ? await repository.tip(branch) : lastSha
    lastSha = sha
    const github = standIns.get(sha) ?? (await startStandIn(sha))
    const refName = tag ?? branch
    const ref = `refs/${tag === undefined ? 'heads' : 'tags'}/${refName}`
    const payload = trigger.payload?.(github) ?? {
      ref,
      inputs,
      repository: { full_name: github.repository, fork: false },
    }
    const eventFile = join(await mkdtemp(join(folder, 'event-')), 'event.json')
    await writeFile(eventFile, JSON.stringify(payload))
    if (attempt === 1) runId++
    const [id, attemptText] = [String(runId), String(attempt)]
    const variables = {
      GITHUB_API_URL: github.apiUrl,
      GITHUB_EVENT_NAME: event,
      GITHUB_EVENT_PATH: eventFile,
      GITHUB_REF: ref,
      GITHUB_REF_NAME: refName,
      GITHUB_REPOSITORY: github.repository,
      GITHUB_RUN_ATTEMPT: attemptText,
      GITHUB_RUN_ID: id,
      GITHUB_SERVER_URL: github.serverUrl,
      GITHUB_SHA: sha,
    }
    const context = {
      event_name: event,
      event: JSON.parse(JSON.stringify(payload)),
      sha,
      ref,
      ref_name: refName,
      repository: github.repository,
      run_id: id,
      run_attempt: attemptText,
      server_url: github.serverUrl,
      api_url: github.apiUrl,
      token: TOKEN,
    }
    const steps: Run[] = []
    let printed = ''

    const newMachine = async (job: string): Promise<Machine> => {
      const workspace = await mkdtemp(join(folder, 'workspace-'))
      return { checkout, action, shell }

      async function checkout(step: EvaluatedStep): Promise<StepEnd> {
        const { ref: wanted = '', ...others } = step.with
        if (!['', ref].includes(wanted) || JSON.stringify(others) !== '{"persist-credentials":"false"}') {
          throw new Error(`unknown checkout: ${JSON.stringify(step.with)}`)
        }
        // Without a ref, the commit of the event is checked out.
        const commit = wanted === '' ? sha : await repository.tip(branch)
        await repository.checkout(workspace, commit, tag === undefined ? branch : null)
        return { outcome: 'success', outputs: {} }
      }

      async function action(step: EvaluatedStep): Promise<StepEnd> {
        await circumstances.meanwhile?.(workspace)
        const { cancelWhen } = circumstances
        let isCancelled = false
        const ended = new AbortController()
        const onStart: StepOptions['onStart'] = (kill) => {
          if (cancelWhen === undefined) return
          const timer = setInterval(() => {
            if (isCancelled || !cancelWhen(workspace)) return
            isCancelled = true
            kill('SIGINT')
          }, 10)
          ended.signal.addEventListener('abort', () => clearInterval(timer))
        }
        const env = {
          ...settled(step.env),
          ...variables,
          GITHUB_JOB: job,
          GITHUB_ACTION: step.id ?? '__self',
        }
        const end = await scenario.run(settled(step.with), { workspace, env, onStart })
        ended.abort()
        steps.push(end)
        const outcome = isCancelled ? 'cancelled' : end.exitCode === 0 ? 'success' : 'failure'
        return { outcome, outputs: end.outputs }
      }

      async function shell(script: string, step: EvaluatedStep): Promise<StepEnd> {
        const place = await mkdtemp(join(folder, 'script-'))
        const [file, output] = [join(place, 'script.sh'), join(place, 'output')]
        await Promise.all([writeFile(file, script), writeFile(output, '')])
        const env = {
          ...gitEnvironment(home),
          PATH: `${bin}${delimiter}${process.env.PATH}`,
          ...variables,
          GITHUB_OUTPUT: output,
          ...step.env,
        }
        const isGood = await new Promise<boolean>((resolve) => {
          execFile('bash', ['-e', file], { cwd: workspace, env }, (error, stdout, stderr) => {
            printed += stdout + stderr
            resolve(error === null)
          })
        })
        const outputs = [...(await readFile(output, 'utf8')).matchAll(/^(\w+)=(.*)$/gm)]
        return {
          outcome: isGood ? 'success' : 'failure',
          outputs: Object.fromEntries(outputs.map(([, name, value = '']) => [name, value])),
        }
      }
    }

    const secrets = { APIMART_API_KEY: sandbox.apiKey, GITHUB_TOKEN: TOKEN }
    const jobs = await runWorkflow(workflow, { github: context, inputs, secrets }, newMachine)
    return { jobs, steps, github, printed }
  }

  return {
    scenario,
    repository,
    run,
    asked: async () => (await readFile(notes, 'utf8')).split('\n').filter((line) => line !== ''),
    async [Symbol.asyncDispose]() {
      await Promise.all([...standIns.values()].map((github) => github.close()))
      await rm(own, { recursive: true, maxRetries: 3 })
      await scenario[Symbol.asyncDispose]()
    },
  }
}
