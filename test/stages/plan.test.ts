/**
 * Whether a new video must be generated: every row of the policy, with real files.
 */

import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { derivedKey } from '../../src/apimart/request.ts'
import { Failure } from '../../src/failure.ts'
import { type Receipt, renderReceipt } from '../../src/receipt/receipt.ts'
import type { Identities } from '../../src/references/identity.ts'
import { FIRST_TIME, type Plan } from '../../src/stages/plan.ts'
import { listening, STEP } from '../harness/context.ts'
import type { Given } from '../harness/inputs.ts'
import { has } from '../harness/platform.ts'
import {
  EXPIRY,
  GIVEN,
  HELD_UNTIL,
  OWN_KEY,
  openWorkspace,
  PLACE,
  refusalOf,
  refused,
  SAME,
  sha,
  soundReceipt,
  TWIN,
  VIDEO,
  WRITTEN_TWICE,
} from '../harness/receipts.ts'

/** A receipt with a task that has no stored video yet. */
const standing = (status: NonNullable<Receipt['task']>['status']): Partial<Receipt> => ({
  task: { id: 'task_1', status, cost: null },
  result: null,
})
const RUNNING = standing('running')
/** The request was sent by a run that got no response. */
const UNCERTAIN: Partial<Receipt> = { task: null, result: null }

const LEFT =
  'Task task_1 from the receipt is not affected by this run and is still billed. To fetch its video, run a step with task_id: task_1'
const UNKNOWN = expect.stringMatching(
  /^The receipt records an earlier request, and it is unknown whether APIMart accepted that request\. .* The Idempotency-Key of that request: \S+$/,
)

const SENT_BEFORE =
  'A task may be running and billed: check the task log at https://apimart.ai first. If there is a task, set task_id to its id: this step then submits nothing and fetches the video. If there is no task, set regenerate: always or remove the receipt to generate, and pay for, a new video.'
const BY_KEY =
  ' Until 2026-11-23 08:50:00 UTC, a run with this idempotency_key gets the same task from APIMart, if there is one: kling-key'
/** The request was sent by an earlier attempt of the step in STEP, with other URLs for its references. */
const OWN_STEP = { made_by: { ...soundReceipt().made_by, run_id: '4711' } }

/** The plan to generate a video; `left` is the warning about the task that is left alone. */
const make = (why: string, left: string | null = null, sending = FIRST_TIME): Plan => ({
  kind: 'make',
  why,
  left,
  sending,
  clipSeconds: null,
})
const GENERATED = `A new video is generated:`

const OTHER_FILE = `is not the file that ${PLACE} describes: its SHA-256 differs`
const NO_FILE = 'does not exist, or is not a file'

const SAME_REQUEST = 'The request and the references match the receipt'

/** A change of the video file, and the reason it leads to. */
type Change = [how: string, change: (video: string) => Promise<void>, why: string]

async function toLink(video: string): Promise<void> {
  await rename(video, `${video}.real`)
  await symlink(`${video}.real`, video)
}
const LINKS: Change[] = has('file links') ? [['has become a link to the video', toLink, NO_FILE]] : []

describe('with the receipt of the same request', () => {
  it('nothing is generated when the receipt and the video are those of the same request', async () => {
    await using at = await openWorkspace()
    expect(await at.decide()).toMatchObject({
      kind: 'reuse',
      receipt: { task: { id: 'task_1' }, result: { bytes: VIDEO.length } },
      why: `${SAME_REQUEST}, and the video is unchanged: nothing is submitted.`,
    })
  })

  it.each<Change>([
    ['is missing', (video) => rm(video), NO_FILE],
    ['is truncated', (video) => writeFile(video, VIDEO.slice(0, -1)), OTHER_FILE],
    ['is a different one of the same size', (video) => writeFile(video, 'the vIdeo'), OTHER_FILE],
    ['is empty', (video) => writeFile(video, ''), OTHER_FILE],
    [
      'has become a folder',
      async (video) => {
        await rm(video)
        await mkdir(video)
      },
      NO_FILE,
    ],
    ...LINKS,
  ])(
    'the video is downloaded again when its file %s, as long as APIMart has it',
    async (_, change, wrong) => {
      await using at = await openWorkspace()
      await change(at.video)
      expect(await at.decide()).toMatchObject({
        kind: 'fetch',
        taskId: 'task_1',
        why: `${SAME_REQUEST}, but ${GIVEN} ${wrong}. APIMart has the video until 2026-11-23 10:00:00 UTC: it is downloaded again, and nothing is submitted.`,
      })
      const why = `${GENERATED} ${GIVEN} ${wrong}.`
      expect(await at.decide({}, SAME, { now: EXPIRY })).toEqual(make(why))
    },
  )

  it.each(['running', 'completed'] as const)(
    'a %s task of the same request is fetched without a new submission',
    async (status) => {
      await using at = await openWorkspace(standing(status))
      expect(await at.decide()).toEqual({
        kind: 'fetch',
        receipt: soundReceipt(standing(status)),
        taskId: 'task_1',
        why: `${SAME_REQUEST}, but the video of task task_1 has not been fetched yet: the task is resumed, and nothing is submitted.`,
        clipSeconds: 8.4,
        output: expect.objectContaining({ displayName: GIVEN }),
      })
      await rm(at.video)
      expect(await at.decide()).toMatchObject({ kind: 'fetch' })
    },
  )

  it.each([
    ['failed', 'has failed'],
    ['cancelled', 'was cancelled'],
  ] as const)('the video is generated again when the status of its task is %s', async (status, how) => {
    await using at = await openWorkspace(standing(status))
    const why = `${GENERATED} task task_1 of ${PLACE} ${how}.`
    expect(await at.decide()).toEqual(make(why))
  })

  it.each([
    ['the next key', 2, { idempotency_key: OWN_KEY }, 2],
    ['the last available key', 2, { idempotency_key: derivedKey(OWN_KEY, 2) }, 2],
    ['the key after a further one', 3, { idempotency_key: derivedKey(OWN_KEY, 2) }, 3],
    ['its first key, after another run used its own,', 3, { idempotency_key: 'kling-key' }, 1],
  ])(
    'the video of a failed task is requested again under %s in run attempt %i',
    async (_, attempt, key, keyNumber) => {
      await using at = await openWorkspace({ ...standing('failed'), ...key })
      const runner = { now: HELD_UNTIL - 1, attempt }
      expect(await at.decide({}, SAME, runner)).toMatchObject({ sending: { keyNumber, earlier: null } })
      const later = { now: HELD_UNTIL, attempt }
      expect(await at.decide({}, SAME, later)).toMatchObject({ sending: FIRST_TIME })
    },
  )

  it('a step refuses the Git LFS pointer of its video instead of paying for the video again', async () => {
    const sha256 = sha('d')
    const { result } = soundReceipt()
    await using at = await openWorkspace({ result: result && { ...result, sha256 } })
    const pointer = (oid: string) => `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize 9\n`
    await writeFile(at.video, pointer(sha256))
    expect(await refusalOf(at.decide())).toEqual(
      refused(
        'It is the Git LFS pointer of the video, not the video itself. Set lfs: true for actions/checkout, or remove the file to generate, and pay for, a new video.',
      ),
    )
    await writeFile(at.video, pointer(sha('e')))
    expect(await at.decide({}, SAME, { now: EXPIRY })).toMatchObject({ kind: 'make' })
  })

  it.each(['the video', null])(
    'a request without a response is not sent again by another run (content of the video file: %s)',
    async (video) => {
      await using at = await openWorkspace(UNCERTAIN)
      if (video === null) await rm(at.video)
      await expect(at.decide()).rejects.toMatchObject({
        reason: 'submission_uncertain',
        message: `Run 4710 sent the same request, and it is unknown whether it was accepted (${PLACE}). Sending it again could bill you twice.`,
        remedy: SENT_BEFORE,
      })
      await expect(at.decide({ idempotency_key: 'another' })).rejects.toMatchObject({
        reason: 'submission_uncertain',
      })
    },
  )

  it.each([
    ['its key while the key still finds the task', {}, HELD_UNTIL - 1, BY_KEY],
    ['no key once APIMart has forgotten it', {}, HELD_UNTIL, ''],
    ['no key if the image was uploaded', { image_url: 'assets/hero.png' }, HELD_UNTIL - 1, ''],
  ])('the remedy for a request without a response suggests %s', async (_, given, now, byKey) => {
    await using at = await openWorkspace(UNCERTAIN)
    await expect(at.decide(given, SAME, { now })).rejects.toMatchObject({
      remedy: `${SENT_BEFORE}${byKey}`,
    })
  })

  it.each<[string, number, Partial<Receipt>, Given, number, number | null]>([
    [
      'is sent again under its key while APIMart keeps the key',
      1,
      { idempotency_key: OWN_KEY },
      {},
      HELD_UNTIL - 1,
      1,
    ],
    [
      'is not sent again once APIMart has forgotten its key',
      1,
      { idempotency_key: OWN_KEY },
      {},
      HELD_UNTIL,
      null,
    ],
    [
      'is sent again under the third of three keys',
      3,
      { idempotency_key: derivedKey(OWN_KEY, 3) },
      {},
      HELD_UNTIL - 1,
      3,
    ],
    [
      'is not sent again under the key of a later attempt',
      2,
      { idempotency_key: derivedKey(OWN_KEY, 3) },
      {},
      HELD_UNTIL - 1,
      null,
    ],
    [
      'is sent again under the key that is set as idempotency_key',
      1,
      {},
      { idempotency_key: 'kling-key' },
      HELD_UNTIL - 1,
      1,
    ],
    ['is not sent again when it was sent by another step', 1, TWIN, {}, HELD_UNTIL - 1, null],
    ['is not sent again when its step sent it under another key', 1, OWN_STEP, {}, HELD_UNTIL - 1, null],
  ])('a request without a response %s', async (_, attempt, receipt, given, now, keyNumber) => {
    await using at = await openWorkspace({ ...UNCERTAIN, ...receipt })
    const decided = at.decide(given, SAME, { now, attempt })
    if (keyNumber === null)
      return await expect(decided).rejects.toMatchObject({ reason: 'submission_uncertain' })
    const why = `${SAME_REQUEST}. It is unknown whether APIMart accepted that request, so the request is sent again with the same Idempotency-Key.`
    const earlier = soundReceipt({ ...UNCERTAIN, ...receipt })
    expect(await decided).toEqual(make(why, null, { keyNumber, earlier }))
  })

  it('a request without a response does not stop a dry run', async () => {
    await using at = await openWorkspace(UNCERTAIN)
    const why = `Run 4710 sent the same request, and it is unknown whether it was accepted (${PLACE}). Sending it again could bill you twice.`
    expect(await at.decide({ dry_run: 'true' })).toEqual(make(why))
  })

  it('a step uses the task of an earlier step of the same run that sent the same request', async () => {
    await using at = await openWorkspace(TWIN)
    expect(await at.decide()).toMatchObject({ kind: 'reuse' })
    await writeFile(at.place, renderReceipt(soundReceipt({ ...TWIN, ...RUNNING })))
    expect(await at.decide()).toMatchObject({ kind: 'fetch' })
  })
})

const OTHER = { bytes: 5, sha256: sha('x') }

describe('with the receipt of another request', () => {
  it.each<[string, Given, Partial<Identities>, Partial<Receipt>, string]>([
    ['a new prompt', { prompt: 'She waves' }, {}, {}, 'prompt differs'],
    ['a new mode', { mode: 'pro' }, {}, {}, 'mode differs'],
    ['a new image', {}, { image: OTHER }, {}, 'image_url differs'],
    ['a new clip', {}, { clip: OTHER }, {}, 'video_url differs'],
    ['two changed inputs', { prompt: 'She waves', watermark: 'true' }, {}, {}, 'prompt and watermark differ'],
    [
      'three changes',
      { prompt: 'She waves', watermark: 'true' },
      { image: OTHER },
      {},
      'prompt, watermark and image_url differ',
    ],
    [
      'references that the receipt does not record',
      {},
      {},
      { references: null },
      'image_url and video_url differ',
    ],
  ])('the video is generated again because of %s', async (_, given, identities, receipt, what) => {
    await using at = await openWorkspace(receipt)
    const why = `${GENERATED} ${what} from the receipt ${PLACE}.`
    expect(await at.decide(given, { ...SAME, ...identities })).toEqual(make(why))
  })

  it.each(['running', 'completed'] as const)(
    'a %s task of another request is left alone and named by its id',
    async (status) => {
      await using at = await openWorkspace(standing(status))
      expect(await at.decide({ mode: 'pro' })).toMatchObject({ kind: 'make', left: LEFT })
    },
  )

  it.each(['failed', 'cancelled'] as const)(
    'a %s task of another request is not mentioned',
    async (status) => {
      await using at = await openWorkspace(standing(status))
      expect(await at.decide({ mode: 'pro' })).toMatchObject({ kind: 'make', left: null })
    },
  )

  it('a different, earlier request without a response is reported', async () => {
    await using at = await openWorkspace(UNCERTAIN)
    expect(await at.decide({ mode: 'pro' })).toMatchObject({ kind: 'make', left: UNKNOWN })
  })

  it.each<[string, Partial<Receipt>]>([
    ['completed', {}],
    ['running', RUNNING],
  ])(
    'a step does not overwrite the receipt of another step of the same run whose task is %s',
    async (_, receipt) => {
      await using at = await openWorkspace({ ...TWIN, ...receipt })
      expect(await refusalOf(at.decide({ mode: 'pro' }))).toEqual(WRITTEN_TWICE)
    },
  )

  it.each([
    ['the same step in an earlier attempt', { ...TWIN.made_by, step: STEP.step }],
    ['another run', { ...TWIN.made_by, run_id: '4710' }],
    ['another repository', { ...TWIN.made_by, repository: 'octo/other' }],
  ])('the video is generated again when %s wrote the receipt', async (_, made_by) => {
    await using at = await openWorkspace({ made_by })
    expect(await at.decide({ mode: 'pro' })).toMatchObject({ kind: 'make' })
  })

  it('a step does not overwrite the receipt of another job of the same run', async () => {
    await using at = await openWorkspace({ made_by: { ...TWIN.made_by, job: 'other', step: STEP.step } })
    const { problems } = await refusalOf(at.decide({ mode: 'pro' }))
    expect(problems[0]).toContain(
      'Another step of this run, __octo_kling of job other, already has task task_1 for this file.',
    )
  })
})

describe('without knowledge of the references', () => {
  const why = `It is therefore unknown whether the references differ from the receipt ${PLACE}. With regenerate: always, the step generates, and pays for, a new video without this check.`

  it('a step fails when unknown references cannot be compared with the receipt', async () => {
    await using at = await openWorkspace()
    const failure = new Failure('reference_rejected', ['image_url is too large.', 'video_url is, too.'])
    expect(await refusalOf(at.decide({}, failure))).toEqual({
      reason: 'reference_rejected',
      problems: ['image_url is too large.', 'video_url is, too.', why],
    })
    expect(await refusalOf(at.decide({}, null))).toEqual({
      reason: 'reference_unreachable',
      problems: ['The references were not read.', why],
    })
  })

  it.each([null, new Failure('reference_unreachable', ['No.'])])(
    'the first video is generated even if the references are unknown',
    async (unknown) => {
      await using at = await openWorkspace(null)
      expect(await at.decide({}, unknown)).toMatchObject({ kind: 'make' })
    },
  )
})

describe('with the receipt of another file', () => {
  const ANOTHERS = refused(
    `${PLACE} is the receipt of another file, other.mp4. Move it back next to that file, or remove it to generate, and pay for, a new video.`,
  )

  it.each<[string, Partial<Receipt>, Given]>([
    ['that is missing', { result: soundReceipt().result }, {}],
    ['whose task is still running', RUNNING, {}],
    ['of another request', { result: soundReceipt().result }, { mode: 'pro' }],
  ])('a step refuses the receipt of another file %s', async (_, receipt, given) => {
    await using at = await openWorkspace({ file: 'other.mp4', ...receipt })
    expect(await refusalOf(at.decide(given))).toEqual(ANOTHERS)
  })

  it('a receipt that was renamed together with its video is still valid', async () => {
    await using at = await openWorkspace({ file: 'other.mp4' })
    expect(await at.decide()).toMatchObject({ kind: 'reuse' })
    expect(await at.decide({ mode: 'pro' })).toMatchObject({ kind: 'make' })
  })
})

describe('regenerate: always', () => {
  const always = { regenerate: 'always' }
  const why = `regenerate: always requests a new video, regardless of ${PLACE}.`

  it.each<[string, Partial<Receipt>, Identities | null, string | null]>([
    ['the same request', {}, SAME, null],
    ['references that were not read', {}, null, null],
    ['a running task', RUNNING, SAME, LEFT],
    ['a failed task', standing('failed'), SAME, null],
    ['a request without a response', UNCERTAIN, SAME, UNKNOWN],
    ['another file', { file: 'other.mp4', result: null }, SAME, LEFT],
  ])(
    'regenerate: always generates a new video despite the receipt of %s',
    async (_, receipt, identities, left) => {
      await using at = await openWorkspace(receipt)
      expect(await at.decide(always, identities)).toEqual(make(why, left))
    },
  )

  it.each<[Partial<Receipt>, Partial<Plan>]>([
    [{}, { kind: 'reuse' }],
    [RUNNING, { kind: 'fetch' }],
    [standing('failed'), { kind: 'make', sending: { keyNumber: 2, earlier: null } }],
  ])(
    'regenerate: always lets a re-run of the same request continue with its task (%j)',
    async (receipt, what) => {
      await using at = await openWorkspace({ ...receipt, idempotency_key: OWN_KEY })
      const runner = { now: HELD_UNTIL - 1, attempt: 2 }
      expect(await at.decide(always, null, runner)).toMatchObject(what)
      const given = { ...always, idempotency_key: OWN_KEY }
      expect(await at.decide(given, null, runner)).toMatchObject({ kind: 'make', sending: FIRST_TIME })
    },
  )

  it.each([{}, { mode: 'pro' }])(
    'regenerate: always with %j does not overwrite the receipt of another step of the same run',
    async (given) => {
      await using at = await openWorkspace(TWIN)
      expect(await refusalOf(at.decide({ ...always, ...given }))).toEqual(WRITTEN_TWICE)
    },
  )
})

describe('without a receipt of this version', () => {
  it('the first video is generated when there is no receipt', async () => {
    await using at = await openWorkspace(null)
    const why = `No receipt at ${PLACE} yet, so a new video is generated.`
    expect(await at.decide()).toEqual(make(why))
    expect(await at.decide({ regenerate: 'always' })).toEqual(make(why))
  })

  it.each(['changed', 'always'])(
    'a receipt of a newer version is refused and not replaced (regenerate: %s)',
    async (regenerate) => {
      await using at = await openWorkspace(JSON.stringify({ ...soundReceipt(), version: 2 }))
      expect(await refusalOf(at.find({ regenerate }))).toEqual(
        refused(
          `${PLACE} was written by a newer version of this action (receipt version 2). Use that version, or remove the file to generate, and pay for, a new video.`,
        ),
      )
    },
  )

  it('a damaged receipt is reported, and replaced only with regenerate: always', async () => {
    await using at = await openWorkspace('{')
    expect(await refusalOf(at.find())).toEqual(
      refused(
        `${PLACE} cannot be used as a receipt: it is not JSON. Restore it from Git. To generate, and pay for, a new video instead, set regenerate: always or remove the receipt.`,
      ),
    )
    const why = `${PLACE} is replaced, because regenerate: always requests a new video.`
    expect(await at.decide({ regenerate: 'always' }, null)).toEqual(make(why))
  })
})

describe('the report of the plan', () => {
  it.each<[string, Partial<Receipt> | null, Given, string[], number | null]>([
    ['nothing else for the first video', null, {}, [], null],
    ['the task that is left alone', RUNNING, { mode: 'pro' }, [LEFT], null],
    ['no task that is left alone in a dry run', RUNNING, { mode: 'pro', dry_run: 'true' }, [], null],
    ['the clip length of the receipt if the preflight did not read it', RUNNING, {}, [], 8.4],
  ])('the plan reports its reason and %s', async (_, receipt, given, warnings, clipSeconds) => {
    await using at = await openWorkspace(receipt)
    const plan = await at.decide(given)
    const { reporter, lines } = listening()
    reporter.plan(plan)
    expect(lines).toEqual([plan.why])
    expect(plan.kind === 'make' && plan.left !== null ? [plan.left] : []).toEqual(warnings)
    const end = { kind: 'failed', failure: new Failure('internal_error', ['-']) } as const
    expect(reporter.report(end)).toMatchObject({ planReason: plan.why, clipSeconds })
  })
})
