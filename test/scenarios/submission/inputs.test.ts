import { EOL } from 'node:os'
import { describe, expect, it } from 'vitest'
import { readAction } from '../../harness/action.ts'
import { expectFailure, expectSubmitted, startScenario } from '../scenario.ts'

describe('inputs', () => {
  it('all missing inputs are reported at once', async () => {
    await using scenario = await startScenario()
    const none = { api_key: '', image_url: '', video_url: '', character_orientation: '' }
    const run = await scenario.run({ ...none, api_base_url: 'https://api.apimart.ai' })
    expect(expectFailure(run, 'invalid_input')).toMatchInlineSnapshot(`
      "api_key: It is empty. Runs from forks and Dependabot get no secrets; with dry_run: true, no key is needed. Otherwise, store the APIMart key as the secret APIMART_API_KEY and pass it: api_key: \${{ secrets.APIMART_API_KEY }}
      image_url: It is required. Use the direct https URL of the reference image, readable without a login, or the path of a file in the workspace.
      video_url: It is required. Use the direct https URL of the reference clip, readable without a login, or the path of a file in the workspace.
      character_orientation: It is required. Use image (facing as in the image, clip of 3 to 10 s) or video (facing as in the clip, clip of 3 to 30 s)."
    `)
    expect(run.summary).toMatchInlineSnapshot(`
      "## Kling motion control: not submitted

      <ul>
      <li>api_key: It is empty. Runs from forks and Dependabot get no secrets; with dry_run: true, no key is needed. Otherwise, store the APIMart key as the secret APIMART_API_KEY and pass it: api_key: \${{ secrets.APIMART_API_KEY }}</li>
      <li>image_url: It is required. Use the direct https URL of the reference image, readable without a login, or the path of a file in the workspace.</li>
      <li>video_url: It is required. Use the direct https URL of the reference clip, readable without a login, or the path of a file in the workspace.</li>
      <li>character_orientation: It is required. Use image (facing as in the image, clip of 3 to 10 s) or video (facing as in the clip, clip of 3 to 30 s).</li>
      </ul>

      <p><b>What to do:</b> Correct the inputs named above in the workflow file, then run the workflow again. Nothing was submitted and nothing is billed.</p>

      <p>failure_reason: <code>invalid_input</code></p>
      "
    `)
    expect(scenario.sandbox.requests).toEqual([])
  })

  it('a mistyped input is refused before anything is sent, together with the other problems', async () => {
    await using scenario = await startScenario()
    const env = { INPUT_MAX_COSTS: '0.1', 'INPUT_OUTPUT-PATH': 'o.mp4', INPUT_TOKEN: 'x', INPUT_DRYRUN: '' }
    const run = await scenario.run({ mode: 'fast' }, { env })
    expect(expectFailure(run, 'invalid_input').split('\n')).toEqual([
      'max_costs is not an input. Did you mean max_cost?',
      'output-path is not an input. Did you mean output_path?',
      'mode "fast": Use std (balanced) or pro (higher quality, slower, more expensive).',
    ])
    expect(scenario.sandbox.requests).toEqual([])
  })

  it('a mistyped input is refused beside task_id as well', async () => {
    await using scenario = await startScenario()
    const { id } = scenario.sandbox.addTask()
    const run = await scenario.run({ task_id: id }, { env: { INPUT_OUTPUTPATH: 'o.mp4' } })
    const advice =
      'Correct the inputs named above in the workflow file, then run the workflow again. This run submitted nothing, and the task in task_id is not affected.'
    expect(expectFailure(run, 'invalid_input', advice)).toBe(
      'outputpath is not an input. Did you mean output_path?',
    )
    expect(scenario.apiRequests()).toEqual([])
  })

  it('all wrong inputs are reported at once', async () => {
    await using scenario = await startScenario()
    const { inputs } = await readAction()
    // A reference without a scheme is a file, which is checked later.
    const more = { image_url: 'https://', video_url: 'https://', task_id: '', attach_to_release: '' }
    // No other input may contain a secret.
    const secrets = { api_key: 'no such key', github_token: 'no such token' }
    const wrong = Object.fromEntries(Object.keys(inputs).map((name) => [name, 'no such thing']))
    const run = await scenario.run({ ...wrong, prompt: 'x'.repeat(2501), ...more, ...secrets })
    const problems = expectFailure(run, 'invalid_input').split('\n')
    const named = problems.map((problem) => /^\w+/.exec(problem)?.[0])
    // ffprobe_path is checked only if ffprobe is needed; a task_id would make the references unnecessary.
    const NEVER_WRONG = ['ffprobe_path', 'task_id', 'attach_to_release']
    expect(named).toEqual(Object.keys(inputs).filter((name) => !NEVER_WRONG.includes(name)))
    expect(problems).toMatchInlineSnapshot(`
      [
        "api_key: It contains spaces, line breaks or characters outside ASCII. Store the key alone in the secret.",
        "image_url "https://": It is not a URL. Use the direct https URL of the reference image, readable without a login, or the path of a file in the workspace.",
        "video_url "https://": It is not a URL. Use the direct https URL of the reference clip, readable without a login, or the path of a file in the workspace.",
        "character_orientation "no such thing": Use image (facing as in the image, clip of 3 to 10 s) or video (facing as in the clip, clip of 3 to 30 s).",
        "mode "no such thing": Use std (balanced) or pro (higher quality, slower, more expensive).",
        "keep_original_sound "no such thing": Use yes or no.",
        "prompt "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…": It has 2501 characters; the limit is 2500. Shorten it.",
        "model "no such thing": Use kling-v2-6-motion-control or kling-v3-motion-control.",
        "watermark "no such thing": Use true or false.",
        "preflight "no such thing": Use enforce (refuse references that violate a limit) or warn (report it and submit anyway) or off (skip the checks).",
        "duration_probe "no such thing": Use auto (header, then ffprobe) or header or ffprobe.",
        "dry_run "no such thing": Use true or false.",
        "price_per_second "no such thing": Use an amount in USD above 0, with a decimal point and no sign or currency, such as 0.057, or leave it out.",
        "max_cost "no such thing": Use an amount in USD above 0, with a decimal point and no sign or currency, such as 0.057, or leave it out.",
        "idempotency_key "no such thing": APIMart accepts 1 to 191 visible ASCII characters without spaces. Shorten it, or leave it out.",
        "wait "no such thing": Use true or false.",
        "wait_timeout_minutes "no such thing": Use a number of minutes above 0 and up to 10080, such as 45 or 0.5.",
        "output_path "no such thing": It needs the finished video. Add wait: true, or set task_id to the id of an existing task.",
        "regenerate "no such thing": Use changed (submit only if the request or the references differ from the receipt next to the file) or always (submit, and pay, every time).",
        "github_token: It contains spaces, line breaks or characters outside ASCII. Use the token alone.",
        "api_base_url "no such thing": It is not an https URL. Use https://api.apimart.ai or the https base URL of your gateway, without /v1.",
      ]
    `)
    expect(scenario.sandbox.requests).toEqual([])
  })

  it('a step with a wrong input sends no request', async () => {
    await using scenario = await startScenario()
    expectFailure(await scenario.run({ mode: 'fast' }), 'invalid_input')
    expect(scenario.sandbox.requests).toEqual([])
  })

  it.each(['std', 'fast'])('the key is masked before anything else is printed (mode: %s)', async (mode) => {
    await using scenario = await startScenario()
    const { raw } = await scenario.run({ mode, preflight: 'off' })
    expect(raw.log.startsWith(`::add-mask::${scenario.sandbox.apiKey}${EOL}`)).toBe(true)
  })

  it('no mask is printed when there is no key', async () => {
    await using scenario = await startScenario()
    const { log } = await scenario.run({ api_key: '', dry_run: 'true', preflight: 'off' })
    expect(log).not.toContain('::add-mask::')
  })

  it.each([
    ['true', 'yes'],
    ['No', 'no'],
    ['FALSE', 'no'],
  ])('keep_original_sound accepts the value %s', async (given, sent) => {
    await using scenario = await startScenario()
    expectSubmitted(await scenario.run({ keep_original_sound: given, preflight: 'off' }))
    expect(JSON.parse(scenario.apiRequests()[0]?.body ?? '')).toHaveProperty('keep_original_sound', sent)
  })
})
