/**
 * The references of several videos as a set, from a real media host.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { inspectReferences } from '../../src/stages/inspect-references.ts'
import { type Sandbox, startSandbox } from '../fakes/sandbox/server.ts'
import { JOB, listening } from '../harness/context.ts'
import { networkOf } from '../harness/hosts.ts'
import { type Given, inputsWith } from '../harness/inputs.ts'

let sandbox: Sandbox
let temp = ''
beforeAll(async () => {
  sandbox = await startSandbox()
  temp = await mkdtemp(join(tmpdir(), 'kling-set-'))
})
afterAll(async () => {
  await sandbox.close()
  await rm(temp, { recursive: true })
})

/** A video with these references, without an output path yet. */
const video = (given: Given) => ({
  inputs: inputsWith({ api_base_url: sandbox.apiUrl, output_path: 'videos/a.mp4', wait: 'true', ...given }),
  destination: { kind: 'none' } as const,
  reporter: listening().reporter,
})
type InspectedVideo = ReturnType<typeof video>

async function inspect(videos: readonly [InspectedVideo, ...InspectedVideo[]]) {
  const from = sandbox.requests.length
  const { signal } = new AbortController()
  const context = { job: { ...JOB, temp }, network: networkOf(sandbox.apiUrl), signal }
  const references = await inspectReferences(videos, context)
  return { references, requests: sandbox.requests.slice(from).map(({ url }) => url) }
}

const [hero, walk] = ['demo/hero.png', 'demo/walk.mp4']

it('a reference of several videos is requested no more often than for one video', async () => {
  const references = { image_url: sandbox.media.url(hero), video_url: sandbox.media.url(walk) }
  const alone = await inspect([video(references)])
  const together = await inspect([
    video(references),
    video({ ...references, mode: 'pro' }),
    video({ ...references, prompt: 'She waves' }),
  ])
  expect(alone.requests.length).toBeGreaterThan(0)
  expect(together.requests.toSorted()).toEqual(alone.requests.toSorted())
  expect(together.references).toEqual([alone, alone, alone].map(({ references: [one] }) => one))
})

it('two clips that are downloaded at the same time do not get each other’s bytes', async () => {
  const image_url = sandbox.media.url(hero)
  const clips = [
    sandbox.media.url(walk, 'ignores-range'),
    sandbox.media.url('demo/result.mp4', 'ignores-range'),
  ]
  const [first, second] = await Promise.all(
    clips.map((video_url) => inspect([video({ image_url, video_url })])),
  )
  const both = await inspect([
    video({ image_url, video_url: clips[0] ?? '' }),
    video({ image_url, video_url: clips[1] ?? '' }),
  ])
  expect(both.references.map(({ bytes }) => bytes)).toEqual(
    [first, second].map((one) => one?.references[0].bytes),
  )
  expect(await readdir(temp)).toEqual([])
})

it('a set with a video that is refused fails with the problems of every video', async () => {
  const short = { image_url: sandbox.media.url(hero), video_url: sandbox.media.url('corpus/2.9s.mp4') }
  const missing = { image_url: sandbox.media.url('demo/none.png'), video_url: sandbox.media.url(walk) }
  const error = await inspect([video(short), video(missing)]).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(Failure)
  expect(error).toMatchObject({
    problems: [expect.stringContaining('video_url'), expect.stringContaining('demo/none.png')],
  })
  expect(await readdir(temp)).toEqual([])
})
