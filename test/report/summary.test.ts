import { describe, expect, it } from 'vitest'
import { type Addresses, buildRequest, submissionUrl, taskUrl } from '../../src/apimart/request.ts'
import type { Task } from '../../src/apimart/task.ts'
import { taskFailure } from '../../src/apimart/task-failure.ts'
import type { CompletedTask, FailedTask, RunningTask } from '../../src/apimart/task-state.ts'
import { Failure, type FailureReason, REMEDIES } from '../../src/failure.ts'
import type { NewTaskInputs } from '../../src/inputs/inputs.ts'
import type { ClipFacts } from '../../src/media/facts.ts'
import { type Preflight, refusal } from '../../src/references/preflight.ts'
import { remoteReference } from '../../src/references/reference.ts'
import { checkClip, checkImage } from '../../src/references/rules.ts'
import type { Sources } from '../../src/references/sources.ts'
import { advise } from '../../src/report/advice.ts'
import { NOTHING_FOUND, type Report, type ReusedVideo } from '../../src/report/report.ts'
import { renderSummary } from '../../src/report/summary.ts'
import { renderMarkdown } from '../harness/github-page.ts'
import { type Given, inputsOfTask, inputsWith as soundInputs } from '../harness/inputs.ts'

const TASK_ID = 'task_01J9HA7JPQ9A0Z6JZ3V8M9W6PZ'
const TASK_URL = taskUrl(new URL('https://api.apimart.ai'), TASK_ID)
const REASONS = Object.keys(REMEDIES) as FailureReason[]

/** Inputs with public URLs and a prompt. */
function inputsWith(given: Given = {}): NewTaskInputs {
  return soundInputs({
    image_url: 'https://cdn.example.com/character.png',
    video_url: 'https://cdn.example.com/dance.mp4',
    prompt: 'She turns and waves',
    ...given,
  })
}

/** The findings for two valid references, apart from the given facts of the clip. */
function findings(inputs: NewTaskInputs, differing: Partial<ClipFacts> = {}): Preflight {
  const video = { width: 1280, height: 720, codec: 'avc1.64001F' }
  const clip: ClipFacts = {
    duration_seconds: 8.4,
    container: 'mp4',
    video,
    sound: true,
    bytes: 5_200_000,
    source: 'its header',
    ...differing,
  }
  const image = { format: 'png', width: 1024, height: 1536, bytes: 1_834_000 } as const
  return {
    image: { kind: 'read', facts: image, checks: checkImage(image) },
    clip: { kind: 'read', facts: clip, checks: checkClip(clip, inputs) },
  }
}

/** The sources of references with URLs. */
function sourcesOf(inputs: NewTaskInputs): Sources {
  const { image_url, video_url } = urlsOf(inputs)
  return {
    image: { kind: 'web', reference: remoteReference('image_url', image_url, 1) },
    clip: { reference: remoteReference('video_url', video_url, 1), file: null },
  }
}

/** An existing video, with this text in every field that can contain text. */
function reusedWith(text: string): ReusedVideo {
  return { taskId: text, cost: 0.48, file: { path: text, bytes: 1, sha256: text }, seconds: 8.4 }
}

/** The URLs of references. */
function urlsOf({ image_url, video_url }: NewTaskInputs): Addresses {
  const [image, clip] = [image_url, video_url].map((one) => (one.kind === 'url' ? one.url : one.path))
  return { image_url: image ?? '', video_url: clip ?? '' }
}

/** A task that was just submitted, apart from the given fields. */
function taskWith(differing: Partial<Task> = {}): Task {
  return {
    id: TASK_ID,
    url: TASK_URL,
    origin: 'submitted',
    submittedAt: Date.UTC(2026, 0, 1),
    startedAt: null,
    seen: null,
    ...differing,
  }
}

/** The state of a running task, apart from the given fields. */
function runningTask(differing: Partial<RunningTask> = {}): RunningTask {
  return {
    status: 'running',
    rawStatus: 'processing',
    progress: 42,
    createdAt: Date.UTC(2026, 0, 1),
    endedAt: null,
    estimatedSeconds: 300,
    cost: null,
    ...differing,
  }
}

/** A task that completed after five minutes. */
function completedTask(links: CompletedTask['links']): CompletedTask {
  const end = { status: 'completed', rawStatus: 'completed', endedAt: Date.UTC(2026, 0, 1, 0, 5) } as const
  return { ...runningTask({ progress: 100, cost: 0.48 }), ...end, links }
}

function submitted(differing: Partial<Task> = {}): Pick<Report, 'task' | 'end'> {
  const task = taskWith(differing)
  return { task, end: { kind: 'submitted', task } }
}

/** The report of a run that submitted a task, apart from the given fields. */
function reportWith(differing: Partial<Omit<Report, 'inputs'>> & { inputs?: NewTaskInputs } = {}): Report {
  const inputs = differing.inputs ?? inputsWith()
  return {
    inputs,
    preflight: findings(inputs),
    warnings: [],
    clipSeconds: 8.4,
    estimatedCost: null,
    sources: sourcesOf(inputs),
    planReason: null,
    video: differing.end?.kind === 'completed' ? differing.end.video : null,
    assetUrl: null,
    ...(differing.end ? { task: null, end: differing.end } : submitted()),
    ...differing,
  }
}

function dryRun(inputs: NewTaskInputs): Report['end'] {
  return {
    kind: 'dry_run',
    request: buildRequest(inputs, urlsOf(inputs)),
    url: submissionUrl(inputs.api_base_url),
  }
}

function failed(reason: FailureReason, ...problems: [string, ...string[]]): Report['end'] {
  return { kind: 'failed', failure: new Failure(reason, problems) }
}

/** The page's tags by name, in order. */
function tagsOf(summary: string): string[] {
  return [...renderMarkdown(summary).matchAll(/<(\/?[a-z][a-z0-9]*)\b[^>]*>/gi)].map(
    (match) => match[1] ?? '',
  )
}

/** The words on the page. */
function textOf(summary: string): string {
  return renderMarkdown(summary)
    .replace(/<[^>]*>/g, ' ')
    .replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)))
    .replace(/\s+/g, ' ')
}

describe('whole summaries', () => {
  it('the summary of a submitted task with an estimate matches the snapshot', async () => {
    const inputs = inputsWith({ price_per_second: '0.057', max_cost: '0.5' })
    const summary = renderSummary(reportWith({ inputs, estimatedCost: 0.4788 }))
    await expect(summary).toMatchFileSnapshot('__snapshots__/summary-submitted.md')
  })

  it('the summary of a dry run with warnings about the clip matches the snapshot', async () => {
    const inputs = inputsWith({ api_key: '', dry_run: 'true', prompt: '保持人物朝向与参考图一致' })
    const preflight = findings(inputs, { duration_seconds: 10.03, sound: false })
    const summary = renderSummary(reportWith({ inputs, preflight, end: dryRun(inputs) }))
    await expect(summary).toMatchFileSnapshot('__snapshots__/summary-dry-run.md')
  })

  it('the summary of a rejected clip with an unread image matches the snapshot', async () => {
    const inputs = inputsWith()
    const failure = new Failure('reference_unreachable', ['image_url answers 404 Not Found.'])
    const preflight: Preflight = {
      image: { kind: 'unread', failure },
      clip: findings(inputs, { duration_seconds: 40 }).clip,
    }
    const end = { kind: 'failed', failure: refusal(preflight) ?? failure } as const
    const summary = renderSummary(reportWith({ inputs, preflight, end }))
    await expect(summary).toMatchFileSnapshot('__snapshots__/summary-rejected.md')
  })

  it('the summary of inputs that cannot be read matches the snapshot', async () => {
    const end = failed('invalid_input', 'api_key: It is empty.', 'mode "fast": Use std or pro.')
    const summary = renderSummary({ ...NOTHING_FOUND, end })
    await expect(summary).toMatchFileSnapshot('__snapshots__/summary-invalid-input.md')
  })
})

describe('whole summaries of a task that was waited for', () => {
  const HOUR = 3_600_000
  const at = (minutes: number, seconds = 0) => Date.UTC(2026, 0, 1, 0, minutes, seconds)
  const LINK = { url: 'https://cdn.example.com/results/dance.mp4', expiresAt: at(5) + 24 * HOUR }
  const SIGNED = { ...LINK, url: `${LINK.url}?X-Amz-Expires=86400&X-Amz-Signature=c0ffee` }
  const SHA256 = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
  const FILE = { path: 'assets/dance.mp4', bytes: 9_412_345, sha256: SHA256, storedAt: at(5, 21) }

  it('the summary of a completed task with its file matches the snapshot', async () => {
    const inputs = inputsWith({ wait: 'true', output_path: FILE.path, price_per_second: '0.057' })
    const video = { link: LINK, trouble: null, seconds: 8.4, file: FILE }
    const seen = { task: completedTask([LINK]), at: at(5, 8), links: [LINK] }
    const task = taskWith({ startedAt: at(0, 10), seen })
    const end = { kind: 'completed', task, video } as const
    const summary = renderSummary(reportWith({ inputs, estimatedCost: 0.4788, task, end }))
    await expect(summary).toMatchFileSnapshot('__snapshots__/summary-completed.md')
  })

  it('the summary of an existing task with a shorter video matches the snapshot and hides the signed URL', async () => {
    const inputs = inputsOfTask(TASK_ID, { video_url: 'https://cdn.example.com/dance.mp4?sig=c0ffee' })
    const video = { link: SIGNED, trouble: null, seconds: 5.1, file: null }
    const seen = { task: completedTask([SIGNED]), at: at(5, 8), links: [SIGNED] }
    const task = taskWith({ origin: 'given', submittedAt: null, seen })
    const warnings = ['The video lasts 5.1 s; the reference clip lasts 8.4 s. The whole clip is billed.']
    const known = { ...NOTHING_FOUND, inputs, clipSeconds: 8.4, warnings, task, video }
    const summary = renderSummary({ ...known, end: { kind: 'completed', task, video } })
    await expect(summary).toMatchFileSnapshot('__snapshots__/summary-completed-signed.md')
    expect(summary).not.toContain('c0ffee')
    expect(tagsOf(summary)).not.toContain('a')
  })

  it('the summary of a task that failed at APIMart matches the snapshot', async () => {
    const inputs = inputsWith({ wait: 'true', price_per_second: '0.057' })
    const error = { message: 'no complete upper body detected', code: '1201', type: 'task_error' }
    const ended = { status: 'failed', rawStatus: 'failed', endedAt: at(2, 30), cost: null, error } as const
    const failure: FailedTask = { ...runningTask(), ...ended }
    const task = taskWith({ startedAt: at(0, 10), seen: { task: failure, at: at(2, 37), links: [] } })
    const end = { kind: 'failed', failure: taskFailure(failure, []) } as const
    const summary = renderSummary(reportWith({ inputs, estimatedCost: 0.4788, task, end }))
    await expect(summary).toMatchFileSnapshot('__snapshots__/summary-task-failed.md')
  })

  it('the summary of a wait that timed out matches the snapshot', async () => {
    const inputs = inputsWith({ wait: 'true', output_path: FILE.path, wait_timeout_minutes: '4' })
    const seen = { task: runningTask({ progress: 81 }), at: at(3, 52), links: [] }
    const task = taskWith({ startedAt: at(0, 10), seen })
    const end = failed('wait_timeout', 'The task was still running after 4 min (wait_timeout_minutes).')
    const summary = renderSummary(reportWith({ inputs, task, end }))
    await expect(summary).toMatchFileSnapshot('__snapshots__/summary-wait-timeout.md')
  })

  it('the summary of a completed task whose download failed matches the snapshot', async () => {
    const inputs = inputsWith({ wait: 'true', output_path: FILE.path })
    const seen = { task: completedTask([LINK]), at: at(5, 8), links: [LINK] }
    const task = taskWith({ startedAt: at(0, 10), seen })
    const problem = `${LINK.url} could not be downloaded: its server answers 503 Service Unavailable.`
    const summary = renderSummary(reportWith({ inputs, task, end: failed('download_failed', problem) }))
    await expect(summary).toMatchFileSnapshot('__snapshots__/summary-download-failed.md')
  })

  it('the summary of a run cancelled while its task is still running matches the snapshot', async () => {
    const inputs = inputsWith({ wait: 'true', output_path: FILE.path })
    const seen = { task: runningTask(), at: at(2, 4), links: [] }
    const task = taskWith({ startedAt: at(0, 10), seen })
    const end = failed('cancelled', 'The job was cancelled.')
    const summary = renderSummary(reportWith({ inputs, task, end }))
    await expect(summary).toMatchFileSnapshot('__snapshots__/summary-cancelled.md')
  })
})

describe('the result comes first', () => {
  it('the summary says that the task belongs to an earlier request', () => {
    expect(textOf(renderSummary(reportWith(submitted({ origin: 'replayed' }))))).toContain(
      'is submitted . The task already existed from an earlier, identical request: no new charge is expected',
    )
    expect(textOf(renderSummary(reportWith()))).not.toContain('earlier')
  })

  it('the summary shows the URL of the task with its id encoded, also behind a gateway', () => {
    const url = taskUrl(new URL('https://gateway.example.com/apimart/'), 'task/1?x')
    expect(textOf(renderSummary(reportWith(submitted({ id: 'task/1?x', url }))))).toContain(
      '"https://gateway.example.com/apimart/v1/tasks/task%2F1%3Fx"',
    )
  })

  it.each(REASONS)(
    'the summary of a failed run begins with what happened, what to do and the reason (%s)',
    (reason) => {
      const summary = renderSummary(reportWith({ end: failed(reason, 'This happened.', 'That too.') }))
      const text = textOf(summary)
      const words = [
        'This happened.',
        'That too.',
        'What to do:',
        advise({ reason, remedy: null }, null),
        `failure_reason: ${reason}`,
      ]
      const places = words.map((word) => text.indexOf(word))
      expect(places).not.toContain(-1)
      expect(places).toEqual(places.toSorted((a, b) => a - b))
      expect(places[0]).toBeLessThan(text.indexOf('Inputs and references'))
    },
  )

  it('the heading of the summary says what a failure means for the cost', () => {
    const heads = REASONS.map((reason) => {
      const summary = renderSummary(reportWith({ end: failed(reason, 'x') }))
      return `${reason}: ${/^## Kling motion control: (.*)$/m.exec(summary)?.[1]}`
    })
    expect(heads).toMatchInlineSnapshot(`
      [
        "invalid_input: not submitted",
        "reference_unreachable: not submitted",
        "reference_rejected: not submitted",
        "over_budget: not submitted",
        "authentication: not submitted",
        "insufficient_balance: not submitted",
        "rate_limited: not submitted",
        "request_rejected: not submitted",
        "submission_uncertain: a task may be running",
        "task_failed: the task failed",
        "task_cancelled: the task was cancelled",
        "wait_timeout: not submitted",
        "download_failed: completed, but not downloaded",
        "publish_failed: not attached to the release",
        "cancelled: cancelled",
        "internal_error: stopped by a bug",
      ]
    `)
  })
})

describe('the timeline', () => {
  const at = (minutes: number, seconds = 0) => Date.UTC(2026, 0, 1, 0, minutes, seconds)
  const HOUR = 3_600_000
  const LINK = { url: 'https://cdn.example.com/dance.mp4', expiresAt: at(5) + 24 * HOUR }
  const FILE = { path: 'dance.mp4', bytes: 1, sha256: 'f'.repeat(64), storedAt: at(5, 21) }
  const VIDEO = { link: LINK, trouble: null, seconds: 8.4, file: FILE }

  /** The timeline of a completed task if APIMart’s clock is ahead of this machine’s by `skew` milliseconds. */
  function timelineOf(differing: Partial<Task>, skew: number): string[] {
    const ended = completedTask([LINK])
    const theirs = { createdAt: (ended.createdAt ?? 0) + skew, endedAt: (ended.endedAt ?? 0) + skew }
    const seen = { task: { ...ended, ...theirs }, at: at(5, 8), links: [LINK] }
    const task = taskWith({ startedAt: at(0, 10), seen, ...differing })
    const summary = renderSummary(reportWith({ task, end: { kind: 'completed', task, video: VIDEO } }))
    const [, table = ''] = /### Timeline([\s\S]*?)<\/table>/.exec(summary) ?? []
    return Array.from(table.matchAll(/<tr>(.*?)<\/tr>/g), ([, row = '']) =>
      row.replace(/<[^>]+>/g, ' ').trim(),
    )
  }

  it.each([0, HOUR, -HOUR])(
    'the durations of a task that this run submitted come from this machine’s clock (APIMart’s clock: %i ms)',
    (skew) => {
      expect(timelineOf({}, skew).map((row) => row.split('UTC')[1]?.trim())).toEqual([
        undefined,
        '',
        '10 s',
        '4 min 58 s',
        '13 s',
      ])
    },
  )

  it.each([0, HOUR, -HOUR])(
    'the duration of a task of another run comes from APIMart’s clock (which differs by %i ms)',
    (skew) => {
      const rows = timelineOf({ origin: 'given', submittedAt: null, startedAt: null }, skew)
      expect(rows.map((row) => row.split('UTC')[1]?.trim())).toEqual([undefined, '', '5 min', '13 s'])
      expect(rows.filter((row) => row.includes('(APIMart’s clock)'))).toHaveLength(2)
    },
  )
})

describe('the findings', () => {
  it('the summary with preflight: off says that the references were not checked and shows no checks', () => {
    const inputs = inputsWith({ preflight: 'off' })
    const text = textOf(renderSummary(reportWith({ inputs, preflight: null, clipSeconds: null })))
    expect(text.match(/not checked/g)).toHaveLength(2)
    expect(text).not.toContain('Checks')
  })

  it('the summary shows every check with the found value, the limit and the verdict', () => {
    const inputs = inputsWith()
    const preflight = findings(inputs, { duration_seconds: 40, sound: false })
    const text = textOf(renderSummary(reportWith({ inputs, preflight })))
    expect(text).toContain('video_url length 40 s 3 to 10 s ❌ refused')
    expect(text).toContain('video_url sound none kept if present ⚠️ warning')
    expect(text).toContain('image_url format png jpeg or png ✅')
  })

  it('the summary never shows the key', () => {
    const ends = [dryRun(inputsWith()), failed('authentication', 'invalid key'), reportWith().end]
    for (const end of ends) expect(renderSummary(reportWith({ end }))).not.toContain('sk-0123456789abcdef')
  })

  it('the summary never shows the query of a signed URL', () => {
    const inputs = inputsWith({
      image_url: 'https://cdn.example.com/character.png?X-Amz-Signature=c0ffee#c0ffee',
      video_url: 'https://cdn.example.com/dance.mp4?sig=c0ffee&se=2026',
      price_per_second: '0.057',
    })
    const ends = [reportWith().end, dryRun(inputs), ...REASONS.map((reason) => failed(reason, 'x'))]
    for (const end of ends) {
      const summary = renderSummary(reportWith({ inputs, end }))
      expect(summary).toContain('dance.mp4?…')
      expect(summary).not.toContain('c0ffee')
    }
  })
})

describe('the image', () => {
  it.each([
    ['https://cdn.example.com/a.png', true],
    ['https://93.184.216.34/a.png', true],
    ['http://cdn.example.com/a.png', false],
    ['https://cdn.example.com/a.png?sig=1', false],
    ['https://cdn.example.com/a.png#x', false],
    ['https://localhost/a.png', false],
    ['https://gateway/a.png', false],
    ['https://127.0.0.1/a.png', false],
    ['https://10.0.0.1/a.png', false],
    ['https://169.254.169.254/a.png', false],
    ['https://[::1]/a.png', false],
    ['https://[fd00::1]/a.png', false],
  ])(
    'the summary shows the image %s only from a public https URL without query or fragment (shown: %s)',
    (image_url, isShown) => {
      const html = renderMarkdown(renderSummary(reportWith({ inputs: inputsWith({ image_url }) })))
      const sources = [...html.matchAll(/<img src="([^"]*)"/g)].map((match) => match[1])
      expect(sources).toEqual(isShown ? [image_url] : [])
    },
  )

  it('the summary shows the image with its whole URL even if that is very long', () => {
    const image_url = `https://cdn.example.com/${'a'.repeat(5000)}.png`
    const summary = renderSummary(reportWith({ inputs: inputsWith({ image_url }) }))
    const source = /<img src="([^"]*)"/.exec(summary)?.[1]
    expect(source).toBe(image_url)
  })

  it('the summary shows no image when the inputs cannot be read', () => {
    const end = failed('invalid_input', 'x')
    expect(renderSummary({ ...NOTHING_FOUND, end })).not.toContain('<img')
  })
})

describe('text from outside', () => {
  const hostile = [
    '</td></tr></table><script>alert(1)</script>',
    '</pre></code></p></ul><h1>x</h1>',
    '`code` ```\n```js\nx\n```',
    'a | b | c\n|---|---|\n| x | y |',
    '![x](https://example.com/x.png) [y](javascript:alert(1))',
    'a\n\n# Heading\n\n- item\n\n<img src=x onerror=alert(1)>',
    'a\r\n\r\n\u2028\u2029<!-- x -->\n\n<details open>',
    '"><img src=x onerror=alert(1)>',
    "'--><style>*{display:none}</style>",
    '&lt;b&gt; &#60;i&#62; <b>',
    '\\<b> *x* _y_ ~~z~~ https://example.com',
    '\0\x1b[31m\u202e<b>',
  ]

  /** A report with this text everywhere that external text can appear. */
  function reportAround(text: string, kind: Report['end']['kind']): Report {
    const sound = inputsWith({ price_per_second: '0.057' })
    const address = `https://cdn.example.com/${text}`
    const inputs: NewTaskInputs = {
      ...sound,
      prompt: text,
      image_url: { kind: 'url', url: 'https://cdn.example.com/a.png' },
      video_url: { kind: 'url', url: address },
    }
    const preflight = findings(inputs, { video: { width: 1280, height: 720, codec: text } })
    const link = { url: address.replace(/[?#]/g, ''), expiresAt: Date.UTC(2026, 0, 2) }
    const file = { path: text, bytes: 1, sha256: text, storedAt: Date.UTC(2026, 0, 1, 1) }
    const video = { link, trouble: null, seconds: 8.4, file }
    const seen = kind === 'completed' ? completedTask([link]) : runningTask({ rawStatus: text })
    const task = taskWith({
      id: text,
      url: text,
      origin: 'replayed',
      startedAt: Date.UTC(2026, 0, 1),
      seen: { task: seen, at: Date.UTC(2026, 0, 1), links: kind === 'completed' ? [link] : [] },
    })
    const ends: Record<Report['end']['kind'], Report['end']> = {
      submitted: { kind: 'submitted', task },
      completed: { kind: 'completed', task, video },
      unchanged: { kind: 'unchanged', reused: reusedWith(text) },
      dry_run: dryRun(inputs),
      failed: failed('request_rejected', `It says: ${text}`, text),
    }
    const known = { inputs, preflight, warnings: [text], clipSeconds: 8.4, estimatedCost: 0.4788, task }
    const sources = sourcesOf(inputs)
    return { ...known, sources, planReason: text, video, assetUrl: link.url, end: ends[kind] }
  }

  describe.each(['submitted', 'completed', 'unchanged', 'dry_run', 'failed'] as const)(
    'in a run that ends as %s',
    (kind) => {
      it.each(hostile)(
        `text from outside changes no tag in the summary of a run that ends as ${kind}: %j`,
        (text) => {
          const page = tagsOf(renderSummary(reportAround(text, kind)))
          expect(page).toEqual(tagsOf(renderSummary(reportAround('harmless', kind))))
          expect(page).not.toContain('script')
        },
      )

      it(`a megabyte of text from outside is shortened in the summary of a run that ends as ${kind}`, () => {
        for (const character of ['x', '<', '🎬', '\n', '&']) {
          const summary = renderSummary(reportAround(character.repeat(2 ** 20), kind))
          expect(Buffer.byteLength(summary)).toBeLessThan(200_000)
        }
      })
    },
  )

  it('text from outside in the URL of the image stays inside its attribute', () => {
    for (const text of hostile) {
      const image_url = `https://cdn.example.com/${text.replace(/[?#]/g, '')}`
      const inputs = { ...inputsWith(), image_url: { kind: 'url', url: image_url } as const }
      const names = tagsOf(renderSummary(reportWith({ inputs })))
      expect(names).toEqual(tagsOf(renderSummary(reportWith())))
    }
  })

  it('the summary shortens a thousand long warnings to stay within the size limit', () => {
    const warnings = Array.from({ length: 1000 }, () => '<'.repeat(10_000))
    expect(Buffer.byteLength(renderSummary(reportWith({ warnings })))).toBeLessThan(1024 * 1024)
  })

  it('the summary shortens a thousand long problems to stay within the size limit', () => {
    const end = failed('internal_error', 'x', ...Array.from({ length: 1000 }, () => '<'.repeat(10_000)))
    expect(Buffer.byteLength(renderSummary(reportWith({ end })))).toBeLessThan(1024 * 1024)
  })

  it('text from outside is shown unchanged where it fits', () => {
    const summary = renderSummary(reportAround('<b>`x` | y & z</b>', 'failed'))
    expect(textOf(summary)).toContain('It says: <b>`x` | y & z</b>')
  })
})
