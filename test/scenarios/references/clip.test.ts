import { describe, it } from 'vitest'
import { ffprobePath } from '../../fakes/sandbox/ffprobe.ts'
import { expectFailure, expectSubmitted, startScenario } from '../scenario.ts'

/** The most bytes of a clip that the action may fetch before it refuses the clip. */
const OPENING = 65_536

const at = (path: string) => `http://media.test/files/corpus/${path}`
const PLAIN_MP4 =
  'Install ffmpeg on the runner, or re-mux the clip as a plain mp4: ffmpeg -i in.mp4 -c copy -map_metadata -1 -movflags +faststart out.mp4'

/** Clip, the message that refuses it, and additional inputs. */
const REFUSED: [clip: string, problem: string, inputs?: Record<string, string>][] = [
  [
    '10.40s.mp4',
    'video_url lasts 10.4 s; character_orientation: image allows 3 to 10 s. Use character_orientation: video (3 to 30 s; the whole clip is billed), or trim it: ffmpeg -i in.mp4 -t 10 out.mp4',
  ],
  [
    '2.9s.mp4',
    'video_url lasts 2.9 s; character_orientation: image allows 3 to 10 s. Use a longer clip, at least 3 s.',
  ],
  [
    '31s.mp4',
    'video_url lasts 31 s; character_orientation: video allows 3 to 30 s. Trim it: ffmpeg -i in.mp4 -t 30 out.mp4',
    { character_orientation: 'video' },
  ],
  [
    'fragmented-40s-claims-1s.mp4',
    'video_url lasts 40 s; character_orientation: video allows 3 to 30 s. Trim it: ffmpeg -i in.mp4 -t 30 out.mp4',
    { character_orientation: 'video', ffprobe_path: ffprobePath },
  ],
  [
    'zero-duration.mp4',
    `video_url ${at('zero-duration.mp4')} cannot be used: its length cannot be determined: the header states no length, and ffprobe found no length. ${PLAIN_MP4}`,
    { ffprobe_path: ffprobePath },
  ],
  [
    'mvhd-all-ones.mp4',
    `video_url ${at('mvhd-all-ones.mp4')} cannot be used: its length cannot be determined: the header states no length, and ffprobe found no length. ${PLAIN_MP4}`,
    { ffprobe_path: ffprobePath },
  ],
  ['side-320x240.mp4', 'video_url is 320 × 240 px; each side must be 340 to 3850 px. Scale or crop it.'],
  ['wide-3860x400.mp4', 'video_url is 3860 × 400 px; each side must be 340 to 3850 px. Scale or crop it.'],
  ['audio-only.mp4', 'video_url has no video track, only sound or data. Use a clip with a picture.'],
  [
    'clip.webm',
    `video_url ${at('clip.webm')} is actually a file of type WEBM. Convert the clip to mp4 or mov.`,
  ],
  ['clip.mkv', `video_url ${at('clip.mkv')} is actually a file of type MKV. Convert the clip to mp4 or mov.`],
  ['clip.gif', `video_url ${at('clip.gif')} is actually a file of type GIF. Convert the clip to mp4 or mov.`],
  ['clip.avi', `video_url ${at('clip.avi')} is actually a file of type AVI. Convert the clip to mp4 or mov.`],
  [
    'playlist.m3u8',
    `video_url ${at('playlist.m3u8')} is a playlist, not an mp4 or mov file. Use the direct URL of the clip.`,
  ],
  [
    'notes.txt',
    `video_url ${at('notes.txt')} is a text file of 42 bytes, not an mp4 or mov file. Use the direct URL of the clip.`,
  ],
  [
    'lfs-pointer.txt',
    `video_url ${at('lfs-pointer.txt')} is a Git LFS pointer of 133 bytes, not the clip itself. Use the URL of the file itself.`,
  ],
  [
    'page.html',
    `video_url ${at('page.html')} is an HTML page, perhaps a login or a share page. Use the direct URL of the clip.`,
  ],
]

describe.concurrent('a clip that breaks a limit', () => {
  it.for(REFUSED)(
    'the clip %s is refused before anything is sent',
    async ([clip, problem, inputs], { expect }) => {
      await using scenario = await startScenario()
      const video_url = scenario.sandbox.media.url(`corpus/${clip}`)
      const run = await scenario.run({ video_url, ...inputs })
      expect(expectFailure(run, 'reference_rejected')).toBe(problem)
      expect(scenario.apiRequests()).toEqual([])
      expect(scenario.traffic(clip).bytes).toBeLessThanOrEqual(OPENING)
    },
  )

  it.for([
    ['header-first.mp4', 'its media extends past the end of the file'],
    ['header-last.mp4', 'it is shorter than its boxes declare'],
    ['fragmented.mp4', 'it ends in the middle of a box'],
  ] as const)(
    'the clip %s is refused before anything is sent when it is cut off',
    async ([clip, why], { expect }) => {
      await using scenario = await startScenario()
      const video_url = scenario.sandbox.media.url(`corpus/${clip}`, 'truncated')
      const run = await scenario.run({ video_url, ffprobe_path: ffprobePath })
      expect(expectFailure(run, 'reference_rejected')).toBe(
        `video_url http://media.test/habit/truncated/corpus/${clip} cannot be used: it is cut off, ${why}. Upload the clip again.`,
      )
      expect(scenario.apiRequests()).toEqual([])
    },
  )

  it('a clip of more than 100 MiB is refused without downloading it', async ({ expect }) => {
    await using scenario = await startScenario()
    const { media } = scenario.sandbox
    const video_url = await media.padClip('huge.mp4', 'demo/walk.mp4', 104_857_601, 'header-first')
    expect(expectFailure(await scenario.run({ video_url }), 'reference_rejected')).toMatch(
      /^video_url is .*; the limit is 100 MB\. Compress it or scale it down\.$/,
    )
    expect(scenario.traffic('huge.mp4').requests.map(({ headers }) => headers.range)).toEqual([
      'bytes=0-65535',
    ])
  })

  it('a page of github.com is refused without requesting it, and the message names the URL to use', async ({
    expect,
  }) => {
    await using scenario = await startScenario()
    const video_url = 'https://github.com/o/r/blob/main/x.mp4'
    expect(expectFailure(await scenario.run({ video_url }), 'reference_rejected')).toBe(
      `video_url ${video_url} is a page of github.com about the file, not the file itself. Use https://raw.githubusercontent.com/o/r/main/x.mp4 instead.`,
    )
    expect(scenario.traffic('x.mp4').requests).toEqual([])
    expect(scenario.apiRequests()).toEqual([])
  })
})

describe.concurrent('a clip worth a warning', () => {
  it('a clip that exceeds the limit by a rounding error is submitted with a warning', async ({ expect }) => {
    await using scenario = await startScenario()
    const video_url = scenario.sandbox.media.url('corpus/10.02s.mp4')
    const run = await scenario.run({ video_url, keep_original_sound: 'no' })
    expectSubmitted(run)
    expect(run.warnings).toEqual([
      'video_url lasts 10.02 s; character_orientation: image allows 3 to 10 s. The difference is at most 0.05 s and can be encoder rounding, but Kling may still refuse the clip.',
    ])
  })

  it('a silent clip is submitted with a warning when keep_original_sound is yes', async ({ expect }) => {
    await using scenario = await startScenario()
    const video_url = scenario.sandbox.media.url('corpus/silent.mp4')
    const run = await scenario.run({ video_url, keep_original_sound: 'yes' })
    expectSubmitted(run)
    expect(run.warnings).toEqual([
      'keep_original_sound is yes, but video_url has no sound, so the video will be silent. Use a clip with sound, or keep_original_sound: no.',
    ])
    for (const text of run.warnings) expect(run.summary).toContain(`<li>⚠️ ${text}</li>`)
  })

  it('a silent clip is submitted without a warning when keep_original_sound is no', async ({ expect }) => {
    await using scenario = await startScenario()
    const video_url = scenario.sandbox.media.url('corpus/silent.mp4')
    const run = await scenario.run({ video_url, keep_original_sound: 'no' })
    expectSubmitted(run)
    expect(run.warnings).toEqual([])
  })
})
