import { describe, it } from 'vitest'
import { expectCompleted, startScenario } from './scenario.ts'

describe('wait', { concurrent: true }, () => {
  it('submits, waits, and stores the video', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    const run = await scenario.run({ wait: 'true', output_path: 'assets/film.mp4' })
    expectCompleted(run)
    expect(run.outputs).toMatchObject({
      task_id: scenario.sandbox.tasks[0]?.id,
      result_path: 'assets/film.mp4',
    })
  })
})
