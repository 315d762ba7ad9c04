/**
 * How the receipt of one run spares the next from paying again: the same request, a changed one, and a receipt that does
 * not fit.
 */

import { mkdir, readdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { describe, it } from 'vitest'
import type { Receipt } from '../../../src/receipt/receipt.ts'
import { has } from '../../harness/platform.ts'
import {
  AT_ONCE,
  at,
  expectRegenerated,
  leave,
  madeBy,
  make,
  media,
  NEW_VIDEO,
  NOTHING_TO_MAKE,
  ORIGINAL,
  pending,
  RECEIPT,
  receiptOf,
  result,
  SAME_REQUEST,
  textOf,
  VIDEO,
  videoOf,
} from '../receipts.ts'
import { expectCompleted, expectFailure, startScenario, submissions } from '../scenario.ts'

const NO_FILE = `${VIDEO} does not exist, or is not a file`
type Change = [how: string, change: (video: string) => Promise<void>, why: string]
const LINK: Change = ['is only a link', toLink, NO_FILE]

async function toLink(video: string): Promise<void> {
  await rename(video, `${video}.real`)
  await symlink('video.mp4.real', video)
}

describe('a second run', { concurrent: true }, () => {
  it('a second run generates, pays and requests nothing and needs no key', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const price = { price_per_second: '0.057' }
    const first = await make(scenario, price, 4711)
    expectCompleted(first)
    const [text, asked] = [await textOf(scenario), scenario.apiRequests().length]
    // A budget that it does not use does not stop it either.
    const second = await make(scenario, { ...price, max_cost: '0.01', api_key: '' })
    expect({ errors: second.errors, warnings: second.warnings }).toEqual({ errors: [], warnings: [] })
    expect(second.exitCode).toBe(0)
    expect(second.outputs).toEqual({ ...first.outputs, status: 'unchanged' })
    expect(second.log).toContain(`\n${NOTHING_TO_MAKE}\n`)
    expect(second.summary).toContain(NOTHING_TO_MAKE)
    expect(scenario.apiRequests()).toHaveLength(asked)
    expect(scenario.traffic('result.mp4').requests).toHaveLength(1)
    expect(await textOf(scenario)).toBe(text)
    expect(JSON.parse(text)).toMatchObject({
      task: { id: first.outputs.task_id, status: 'completed', cost: Number(first.outputs.cost) },
      result: { sha256: first.outputs.result_sha256, url: first.outputs.result_url },
      ...madeBy('4711'),
    })
  })

  it('a second run compares bytes, not signatures, and keeps secrets out of receipt, log and summary', async ({
    expect,
  }) => {
    await using scenario = await startScenario(AT_ONCE)
    const { sandbox } = scenario
    sandbox.script.resultUrl = `${sandbox.media.url('demo/result.mp4')}?sig=SECRET`
    const signed = (signature: string) => ({
      image_url: `${sandbox.media.url('demo/hero.png')}?X-Amz-Signature=${signature}`,
      video_url: `${sandbox.media.url('demo/walk.mp4')}?X-Amz-Signature=${signature}`,
    })
    const first = await make(scenario, signed('SECRET1'), 4711)
    expectCompleted(first)
    const text = await textOf(scenario)
    expect(text).not.toContain('SECRET')
    expect(text).not.toContain(sandbox.apiKey)
    const second = await make(scenario, signed('SECRET2'))
    const { result_url, result_expires_at, ...others } = first.outputs
    expect(second.outputs).toEqual({ ...others, status: 'unchanged' })
    expect(second.raw.log + second.raw.summary).not.toContain('SECRET')
    expect(await textOf(scenario)).toBe(text)
  })

  it('a second run generates nothing when the same image is at another URL', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    await leave(scenario)
    const image_url = scenario.sandbox.media.put('moved.png', await readFile(media('hero.png')))
    expect((await make(scenario, { image_url })).outputs.status).toBe('unchanged')
  })

  it.for([
    ['prompt', { prompt: 'She waves' }],
    ['mode', { mode: 'pro' }],
    ['video_url', {}],
    ['image_url', {}],
  ] as const)(
    'a second run generates the video again when %s has changed',
    async ([name, inputs], { expect }) => {
      await using scenario = await startScenario(AT_ONCE)
      await leave(scenario)
      const file = { video_url: 'walk.mp4', image_url: 'hero.png', prompt: null, mode: null }[name]
      if (file) {
        const bytes = await readFile(media(file))
        // The file has the same size, URL and header, but other bytes.
        bytes.writeUInt8(bytes.readUInt8(bytes.length - 20) ^ 1, bytes.length - 20)
        scenario.sandbox.media.put(`demo/${file}`, bytes)
      }
      const run = await make(scenario, inputs)
      await expectRegenerated(
        scenario,
        run,
        `${NEW_VIDEO} ${name} differs from the receipt ${RECEIPT}.`,
        expect,
      )
    },
  )

  const otherFile = `${VIDEO} is not the file that ${RECEIPT} describes: its SHA-256 differs`
  it.for<[string, (video: string) => Promise<void>, string]>([
    ['is missing', (video) => rm(video), NO_FILE],
    ['is cut off', (video) => truncate(video, 1000), otherFile],
    ...(has('file links') ? [LINK] : []),
  ])('a second run downloads the video again when it %s', async ([, change, wrong], { expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const { id } = scenario.sandbox.addTask()
    const [task, made] = [{ id, status: 'completed', cost: 0.456 } as const, madeBy('4710')]
    await leave(scenario, { task, result: result('valid'), ...made })
    await change(at(scenario, VIDEO))
    const again = await make(scenario)
    expectCompleted(again)
    expect(again.log).toContain(`\n${SAME_REQUEST}, but ${wrong}. APIMart has the video until `)
    expect(again.outputs).toMatchObject({ task_id: id, result_sha256: ORIGINAL.sha256 })
    expect(submissions(scenario)).toEqual([])
    expect(await videoOf(scenario)).toEqual(ORIGINAL)
    expect(await receiptOf(scenario)).toMatchObject({ task, result: ORIGINAL, ...made })
  })

  it('a second run generates the video again when it is missing and no longer at APIMart', async ({
    expect,
  }) => {
    await using scenario = await startScenario(AT_ONCE)
    await leave(scenario)
    await rm(at(scenario, VIDEO))
    await expectRegenerated(scenario, await make(scenario), `${NEW_VIDEO} ${NO_FILE}.`, expect)
  })

  it('regenerate: always generates the video again even over a damaged receipt', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    await leave(scenario)
    await writeFile(at(scenario, RECEIPT), '{')
    const run = await make(scenario, { regenerate: 'always' })
    expectCompleted(run)
    expect(submissions(scenario)).toHaveLength(1)
    expect(await receiptOf(scenario)).toMatchObject({ task: { id: run.outputs.task_id }, ...madeBy('4712') })
  })

  it('a second run needs a key and respects max_cost when there is a video to generate', async ({
    expect,
  }) => {
    await using scenario = await startScenario(AT_ONCE)
    const text = await leave(scenario)
    const priced = { mode: 'pro', price_per_second: '0.057', max_cost: '0.01' }
    expectFailure(await make(scenario, priced), 'over_budget')
    const run = await make(scenario, { mode: 'pro', api_key: '' })
    expect(expectFailure(run, 'invalid_input')).toMatch(/^api_key: It is empty\. /)
    expect(run.log).toContain(`\n${NEW_VIDEO} mode differs from the receipt ${RECEIPT}.\n`)
    expect(scenario.apiRequests()).toEqual([])
    expect(await textOf(scenario)).toBe(text)
  })

  it.for([
    ['unchanged', {}, NOTHING_TO_MAKE],
    ['changed', { mode: 'pro' }, `${NEW_VIDEO} mode differs from the receipt ${RECEIPT}.`],
  ] as const)(
    'a second run with dry_run only reports what it would do (%s)',
    async ([, inputs, line], { expect }) => {
      await using scenario = await startScenario(AT_ONCE)
      const text = await leave(scenario)
      const run = await make(scenario, { ...inputs, dry_run: 'true', api_key: '' })
      expect(run.errors).toEqual([])
      expect(run.outputs.status).toBe('dry_run')
      expect(run.log).toContain(`\n${line}\n`)
      expect(scenario.apiRequests()).toEqual([])
      expect(await textOf(scenario)).toBe(text)
      expect(await videoOf(scenario)).toEqual(ORIGINAL)
      expect((await readdir(at(scenario, 'assets'))).sort()).toEqual(['video.mp4', 'video.mp4.receipt.json'])
    },
  )
})

describe('a receipt that does not fit', { concurrent: true }, () => {
  it.for<[string, Partial<Receipt>, (text: string) => string, Record<string, string>, string]>([
    [
      'is damaged',
      {},
      (text) => text.slice(1),
      {},
      `${RECEIPT} cannot be used as a receipt: it is not JSON.`,
    ],
    [
      'was edited by hand',
      {},
      (text) => text.replace('"std"', '1'),
      {},
      'its request.mode is missing or wrong.',
    ],
    [
      'has a newer version',
      {},
      (text) => text.replace('"version": 1', '"version": 2'),
      { regenerate: 'always' },
      'newer version',
    ],
    [
      'belongs to another file',
      { file: 'b.mp4', ...pending('task_1') },
      (text) => text,
      {},
      'is the receipt of another file, b.mp4.',
    ],
    [
      'another step of this run has written',
      madeBy('4712', '__octo_kling_2'),
      (text) => text,
      { prompt: 'She waves' },
      'Another step of this run, __octo_kling_2 of job video, already has task task_1 for this file.',
    ],
  ])('a receipt that %s is refused and left alone', async ([, changes, damage, inputs, says], { expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const text = damage(await leave(scenario, changes))
    await writeFile(at(scenario, RECEIPT), text)
    const run = await make(scenario, inputs)
    expect(expectFailure(run, 'invalid_input')).toContain(says)
    expect(scenario.apiRequests()).toEqual([])
    expect(await textOf(scenario)).toBe(text)
  })

  it.for(['changed', 'always'])(
    'a receipt that is a folder is refused with regenerate: %s',
    async (regenerate, { expect }) => {
      await using scenario = await startScenario(AT_ONCE)
      await mkdir(at(scenario, RECEIPT), { recursive: true })
      const run = await make(scenario, { regenerate })
      expect(expectFailure(run, 'invalid_input')).toContain(`${RECEIPT} is a folder.`)
      expect(scenario.apiRequests()).toEqual([])
    },
  )

  it('an output_path that has a receipt but is a folder is refused', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    await leave(scenario)
    await rm(at(scenario, VIDEO))
    await mkdir(at(scenario, VIDEO))
    const run = await make(scenario)
    expect(expectFailure(run, 'invalid_input')).toContain(`output_path "${VIDEO}": It is a folder.`)
    expect(scenario.apiRequests()).toEqual([])
  })
})
