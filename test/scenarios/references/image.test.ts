import { describe, it } from 'vitest'
import { expectFailure, expectSubmitted, startScenario } from '../scenario.ts'

const at = (path: string) => `http://media.test/files/${path}`
const CONVERT = 'Convert the image to jpeg or png.'

describe.concurrent('an image that breaks a limit', () => {
  it.for([
    [
      'images/small-side.png',
      'image_url is 299 × 600 px; each side must be 300 to 65536 px. Scale or crop it.',
    ],
    [
      'images/wide.png',
      'image_url is 1040 × 400 px; ratios from 1:2.5 to 2.5:1 are allowed. Crop it or add a border.',
    ],
    [
      'images/tall.png',
      'image_url is 400 × 1040 px; ratios from 1:2.5 to 2.5:1 are allowed. Crop it or add a border.',
    ],
    ['images/webp.webp', `image_url ${at('images/webp.webp')} is actually a file of type WEBP. ${CONVERT}`],
    ['images/pic.gif', `image_url ${at('images/pic.gif')} is actually a file of type GIF. ${CONVERT}`],
    [
      'images/svg.svg',
      `image_url ${at('images/svg.svg')} is an SVG drawing, not a jpeg or png file. ${CONVERT}`,
    ],
    [
      'corpus/page.html',
      `image_url ${at('corpus/page.html')} is an HTML page, perhaps a login or a share page. Use the direct URL of the image.`,
    ],
  ] as const)('the image %s is refused before anything is sent', async ([path, problem], { expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ image_url: scenario.sandbox.media.url(path) })
    expect(expectFailure(run, 'reference_rejected')).toBe(problem)
    expect(scenario.apiRequests()).toEqual([])
    expect(scenario.traffic(path).bytes).toBeLessThanOrEqual(65_536)
    expect(run.outputs.duration_seconds).toBe('8.4')
  })

  it('a missing image is reported as unreachable before anything is sent', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ image_url: scenario.sandbox.media.url('images/none.png') })
    expect(expectFailure(run, 'reference_unreachable')).toBe(
      `image_url ${at('images/none.png')} cannot be read: its server answers 404 Not Found. Check the spelling; a file in a private repository gets the same response.`,
    )
    expect(scenario.apiRequests()).toEqual([])
  })

  it('an image and a clip that both break a limit are refused together', async ({ expect }) => {
    await using scenario = await startScenario()
    const { media } = scenario.sandbox
    const run = await scenario.run({
      image_url: media.url('images/pic.gif'),
      video_url: media.url('corpus/10.40s.mp4'),
    })
    const problems = expectFailure(run, 'reference_rejected').split('\n')
    expect(problems).toEqual([
      `image_url ${at('images/pic.gif')} is actually a file of type GIF. ${CONVERT}`,
      expect.stringMatching(/^video_url lasts 10\.4 s;/),
    ])
    for (const text of ['is actually a file of type GIF', 'lasts 10.4 s']) expect(run.summary).toContain(text)
    expect(scenario.apiRequests()).toEqual([])
  })

  it('an image and a clip that cannot be read are reported together', async ({ expect }) => {
    await using scenario = await startScenario()
    const { media } = scenario.sandbox
    const run = await scenario.run({ image_url: media.url('none.png'), video_url: media.url('none.mp4') })
    expect(expectFailure(run, 'reference_unreachable').split('\n')).toEqual([
      expect.stringMatching(/^image_url .* 404 Not Found/),
      expect.stringMatching(/^video_url .* 404 Not Found/),
    ])
    expect(scenario.apiRequests()).toEqual([])
  })
})

describe.concurrent('an image within the limits', () => {
  it.for([
    ['images/ok.png', 'png, 600 × 800 px, 3.4 kB'],
    ['images/ok.jpg', 'jpeg, 600 × 800 px, 7.7 kB'],
    ['images/edge.png', 'png, 1000 × 400 px, 2.5 kB'],
    ['images/late-sof.jpg', 'jpeg, 600 × 800 px, 127.8 kB'],
    // As stored; the limits are the same in both orientations.
    ['images/rotated.jpg', 'jpeg, 800 × 600 px, 12.2 kB'],
  ] as const)('the image %s is accepted', async ([path, found], { expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ image_url: scenario.sandbox.media.url(path) })
    expectSubmitted(run)
    expect(run.log).toContain(`image_url: ${found}\n`)
    expect(run.warnings).toEqual([])
  })
})
