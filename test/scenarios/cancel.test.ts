import { describe, it, vi } from 'vitest'
import { DEMO, expectFailure, expectSubmitted, type Run, type Scenario, startScenario } from './scenario.ts'

/** Runs the step and signals it once the sandbox has had a request for which `seen` holds; times its end. */
async function interrupted(
  { sandbox, run }: Scenario,
  inputs: Record<string, string>,
  seen: (url: string) => boolean,
  signal: NodeJS.Signals = 'SIGINT',
): Promise<{ run: Run; milliseconds: number }> {
  let cancelled = Number.NaN
  const ended = await run(inputs, {
    async onStart(kill) {
      const isSeen = () => sandbox.requests.some(({ url }) => seen(url))
      await vi.waitUntil(isSeen, { timeout: 20_000, interval: 10 })
      cancelled = performance.now()
      kill(signal)
    },
  })
  return { run: ended, milliseconds: performance.now() - cancelled }
}

const isPost = (url: string) => url === '/v1/videos/generations'
const isClip = (url: string) => url.includes('/silent/')

// The runner signals on Windows, too, but there a test cannot: node ends the process at once.
describe.skipIf(process.platform === 'win32')('a cancelled job', { concurrent: true }, () => {
  it.for(['SIGINT', 'SIGTERM'] as const)(
    'ends soon while the clip is awaited (%s)',
    async (signal, { expect }) => {
      await using scenario = await startScenario()
      const video_url = scenario.sandbox.media.url(DEMO.clip, 'silent')
      const { run, milliseconds } = await interrupted(scenario, { video_url }, isClip, signal)
      expect(expectFailure(run, 'cancelled')).toBe('The job was cancelled.')
      expect(milliseconds).toBeLessThan(5000)
      expect(run.outputs).toEqual({ failure_reason: 'cancelled' })
      expect(scenario.apiRequests()).toEqual([])
    },
  )

  it('does not know about a task when the answer never comes', async ({ expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', { kind: 'accept-then', fault: { kind: 'silent' } })
    const { run, milliseconds } = await interrupted(scenario, { preflight: 'off' }, isPost)
    expect(expectFailure(run, 'submission_uncertain')).toMatch(
      /^The answer to the submission was lost: the run was stopped before it came\. Whether a task was accepted is not known\.\nThe request went to http:\/\/api\.test\/v1\/videos\/generations at \d{4}-\d\d-\d\dT[\d:.]+Z with the Idempotency-Key <idempotency key>\.$/,
    )
    expect(milliseconds).toBeLessThan(6000)
    expect(scenario.apiRequests()).toHaveLength(1)
  })

  it('still takes the id that is on its way', async ({ expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', { kind: 'delay', ms: 1500 })
    const { run } = await interrupted(scenario, { preflight: 'off' }, isPost)
    expectSubmitted(run)
    expect(run.outputs.task_id).toBe(scenario.sandbox.tasks[0]?.id)
    expect(scenario.apiRequests()).toHaveLength(1)
  })
})
