import { describe, expect, it } from 'vitest'
import { stepsOfAction } from './evaluate.ts'
import { type Contexts, holds, interpolate, type Status } from './expressions.ts'
import { type Machine, runWorkflow, type StepEnd } from './run.ts'
import { readWorkflow, readWorkflows } from './workflow.ts'

const CONTEXTS: Contexts = {
  github: {
    repository: 'octo/videos',
    run_id: '4711',
    token: 'ghs_1',
    event: { release: { tag_name: 'v1' }, repository: { fork: false } },
  },
  inputs: { pull_request: true, tag: 'v2' },
  secrets: { APIMART_API_KEY: 'sk-1' },
  vars: { PRICE: '0.057' },
  matrix: { clip: 'salsa', seconds: 10 },
  steps: { video: { outputs: { status: 'completed' }, outcome: 'failure' } },
  needs: { video: { result: 'success', outputs: { branch: 'video-1' } } },
  env: { NAME: 'hero' },
}

const HEAD = `
name: video
on: workflow_dispatch
permissions: {}
`

/** A workflow of one job made of these lines. */
function workflowOf(job: string, head = ''): string {
  const lines = `runs-on: ubuntu-latest\ntimeout-minutes: 5\n${job.trim()}`.replaceAll('\n', '\n    ')
  return `${HEAD}${head}\njobs:\n  video:\n    ${lines}\n`
}

describe('interpolate', () => {
  it.each([
    ['as it is', 'as it is'],
    ['', ''],
    ['${{ github.repository }}', 'octo/videos'],
    ['videos/${{ matrix.clip }}-${{matrix.seconds}}.mp4', 'videos/salsa-10.mp4'],
    ['${{ github.event.release.tag_name }}', 'v1'],
    ['${{ github.event.head_commit.id }}', ''],
    ['${{ steps.other.outputs.status }}', ''],
    ["${{ steps['video'].outputs.status }}", 'completed'],
    ['${{ inputs.pull_request }}', 'true'],
    ['${{ !inputs.pull_request }}', 'false'],
    ["${{ inputs.pull_request && format('video-{0}', github.run_id) || 'main' }}", 'video-4711'],
    ["${{ inputs.draft && 'a' || 'main' }}", 'main'],
    ["${{ '}}' }}${{ 'it''s' }}", "}}it's"],
    ['${{ vars.PRICE }} ${{ env.NAME }} ${{ needs.video.outputs.branch }}', '0.057 hero video-1'],
    ['${{ matrix.seconds == 10 }}', 'true'],
    ['$ { { x } } {{ y }}', '$ { { x } } {{ y }}'],
  ])('interpolate turns "%s" into "%s"', (text, value) => {
    expect(interpolate(text, CONTEXTS)).toBe(value)
  })

  it.each([
    ['${{ gihtub.repository }}', 'Unrecognized named-value'],
    ['${{ uppercase(github.repository) }}', 'Unrecognized function'],
    ['${{ success() }}', 'Unrecognized function'],
    ['${{ github.repository', 'an expression does not end'],
    ['a ${{ github. }} b', "Unexpected symbol: 'EOF'"],
  ])('interpolate rejects "%s"', (text, message) => {
    expect(() => interpolate(text, CONTEXTS)).toThrow(message)
  })
})

describe('holds', () => {
  const all: Status[] = ['success', 'failure', 'cancelled', 'skipped']
  it.each<[condition: string | null, Status[]]>([
    [null, ['success']],
    ['inputs.pull_request', ['success']],
    ['${{ inputs.pull_request }}', ['success']],
    ['!inputs.pull_request', []],
    ['steps.other.outputs.task_id', []],
    ['always()', all],
    ['${{ !cancelled() && inputs.pull_request }}', ['success', 'failure', 'skipped']],
    ['failure()', ['failure']],
    ['cancelled()', ['cancelled']],
    ["always() && steps.video.outcome == 'failure'", all],
    ["always() && steps.video.outcome == 'success'", []],
    ['false || true', ['success']],
  ])('the condition %s holds after exactly the statuses %j', (condition, statuses) => {
    expect(all.filter((status) => holds(condition, CONTEXTS, status))).toEqual(statuses)
  })

  it('a condition with text around an expression is rejected because it would always hold', () => {
    expect(() => holds('${{ inputs.draft }} && true', CONTEXTS, 'success')).toThrow('true for ever')
    expect(() => holds('${{ inputs.draft }} && ${{ inputs.draft }}', CONTEXTS, 'success')).toThrow()
  })
})

describe('stepsOfAction', () => {
  it('stepsOfAction returns inputs and environment as strings, with the defaults of action.yml', async () => {
    const source = workflowOf(
      `
env:
  FROM_JOB: \${{ matrix.clip || env.FROM_WORKFLOW || 'none' }}
  BOTH: job
steps:
  - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1
  - uses: OWNER/kling-motion-control-action@v0
    id: video
    continue-on-error: true
    if: github.repository
    with:
      api_key: \${{ secrets.APIMART_API_KEY }}
      prompt: The \${{ env.NAME }} of \${{ env.BOTH }}
      wait: true
      max_cost: 2.50
      price_per_second: '2.50'
      task_id:
    env:
      NAME: \${{ env.FROM_WORKFLOW }}
      BOTH: step`,
      'env:\n  FROM_WORKFLOW: ${{ github.run_id }}\n  BOTH: workflow',
    )
    const { matrix: _, env: _env, ...contexts } = CONTEXTS
    const [step, ...others] = await stepsOfAction(source, contexts)
    expect(others).toEqual([])
    expect(step).toMatchObject({
      job: 'video',
      matrix: {},
      id: 'video',
      condition: 'github.repository',
      continueOnError: true,
      env: { FROM_WORKFLOW: '4711', FROM_JOB: 'none', NAME: '4711', BOTH: 'step' },
      with: {
        api_key: 'sk-1',
        prompt: 'The 4711 of step',
        wait: 'true',
        max_cost: '2.5',
        price_per_second: '2.50',
        task_id: '',
        mode: 'std',
        api_base_url: 'https://api.apimart.ai',
      },
    })
  })

  it('stepsOfAction evaluates the default of github_token', async () => {
    const [step] = await stepsOfAction(workflowOf('steps: [{ uses: ./ }]'), CONTEXTS)
    expect(step?.with.github_token).toBe('ghs_1')
  })

  it('stepsOfAction returns a step for each matrix combination in each document', async () => {
    const matrix = `
strategy:
  matrix:
    clip: [salsa, tango]
    seconds: [5, 10]
steps:
  - uses: ./
    with:
      video_url: \${{ matrix.clip }}-\${{ matrix.seconds }}.mp4`
    const source = `${workflowOf(matrix)}---\n${workflowOf('steps: [{ uses: ./, with: { video_url: walk.mp4 } }]')}`
    const steps = await stepsOfAction(source, {})
    const names = ['salsa-5.mp4', 'salsa-10.mp4', 'tango-5.mp4', 'tango-10.mp4', 'walk.mp4']
    expect(steps.map((step) => step.with.video_url)).toEqual(names)
    expect(steps[1]?.matrix).toEqual({ clip: 'salsa', seconds: 10 })
  })

  it('stepsOfAction rejects inputs that action.yml lacks and keys that a workflow cannot have', async () => {
    const source = workflowOf(
      'steps: [{ uses: a/kling-motion-control-action@v0, with: { video: a, image: b } }]',
    )
    await expect(stepsOfAction(source, CONTEXTS)).rejects.toThrow('action.yml has no input video, image')
    await expect(stepsOfAction(workflowOf('steps: [{ use: ./ }]'), CONTEXTS)).rejects.toThrow('"use"')
  })
})

describe('runWorkflow', () => {
  const ends = (outcome: StepEnd['outcome'], outputs: Record<string, string> = {}) => ({ outcome, outputs })

  /** Runs a workflow whose scripts succeed unless they contain `fail` or `stop`; returns the ends of its jobs. */
  async function outcomes(source: string, contexts: Contexts = {}) {
    const machine: Machine = {
      checkout: async () => ends('success'),
      action: async ({ with: { task_id = '' } }) => ends('success', { task_id }),
      shell: async (script, { env }) =>
        ends(script.includes('fail') ? 'failure' : script.includes('stop') ? 'cancelled' : 'success', env),
    }
    const jobs = await runWorkflow(readWorkflow(source), contexts, async () => machine)
    return Object.values(jobs).flat()
  }

  it.each([
    ['fail', 'failure', ['failure', 'skipped', 'success', 'success', 'success', 'skipped']],
    ['stop', 'cancelled', ['cancelled', 'skipped', 'success', 'skipped', 'skipped', 'success']],
    ['pass', 'success', ['success', 'success', 'success', 'success', 'skipped', 'skipped']],
  ])(
    'runWorkflow runs later steps as their conditions say after the script "%s"',
    async (script, status, expected) => {
      const [job] = await outcomes(
        workflowOf(`
steps:
  - run: ${script}
  - run: 'on success'
  - run: 'on all'
    if: always()
  - run: 'unless cancelled'
    if: \${{ !cancelled() }}
  - run: 'on a broken one'
    if: failure() && true
  - run: 'on the end'
    if: cancelled()`),
      )
      expect(job?.status).toBe(status)
      expect(job?.steps.map((step) => step.split(': ').at(-1))).toEqual(expected)
    },
  )

  it('runWorkflow passes outcome and outputs to later steps, and continue-on-error lets the job succeed', async () => {
    const [job] = await outcomes(
      workflowOf(`
outputs:
  seen: \${{ steps.look.outputs.SEEN }}
steps:
  - id: video
    run: fail
    continue-on-error: true
    env:
      REASON: wait_timeout
  - id: look
    run: 'see'
    env:
      SEEN: \${{ steps.video.outcome }} \${{ steps.video.conclusion }} \${{ steps.video.outputs.REASON }}`),
    )
    expect(job).toMatchObject({ status: 'success', outputs: { seen: 'failure success wait_timeout' } })
  })

  it.each([
    ['success', '', ['success', 'success']],
    ['fail', '', ['failure', 'skipped']],
    ['fail', 'if: ${{ !cancelled() }}', ['failure', 'success']],
    ['success', 'if: needs.video.outputs.branch == 2', ['success', 'skipped']],
  ])(
    'runWorkflow runs a dependent job as its needs and condition say (%s, %s)',
    async (script, condition, expected) => {
      const source = `${workflowOf(`
outputs: { branch: 1 }
steps: [{ run: ${script} }]`)}
  next:
    needs: video
    ${condition}
    runs-on: ubuntu-latest
    timeout-minutes: 5
    steps: [{ run: 'echo' }]
`
      const jobs = await outcomes(source)
      expect(jobs.map(({ status }) => status)).toEqual(expected)
    },
  )

  it('runWorkflow runs at most max-parallel jobs of a matrix at once', async () => {
    let [running, most] = [0, 0]
    const { promise, resolve } = Promise.withResolvers<void>()
    const machine: Machine = {
      checkout: async () => ends('success'),
      action: async () => ends('success'),
      async shell() {
        most = Math.max(most, ++running)
        if (running === 2) resolve()
        await promise
        running--
        return ends('success')
      },
    }
    const source = workflowOf(`
strategy:
  max-parallel: 2
  matrix: { clip: [1, 2, 3, 4, 5] }
steps: [{ run: 'echo' }]`)
    const { video = [] } = await runWorkflow(readWorkflow(source), {}, async () => machine)
    expect(video.map(({ matrix, status }) => [matrix.clip, status])).toEqual(
      [1, 2, 3, 4, 5].map((clip) => [clip, 'success']),
    )
    expect(most).toBe(2)
  })
})

it('readWorkflows reads several workflows of a file, and readWorkflow rejects more than one', () => {
  const source = `${workflowOf('steps: []')}---\n${workflowOf('steps: []')}`
  expect(readWorkflows(source)).toHaveLength(2)
  expect(() => readWorkflow(source)).toThrow('this is not one workflow')
})
