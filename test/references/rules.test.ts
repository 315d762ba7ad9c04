import { describe, expect, it } from 'vitest'
import type { ClipFacts, ImageFacts } from '../../src/media/facts.ts'
import { type Check, checkClip, checkImage } from '../../src/references/rules.ts'

const MB = 1e6
const MIB = 1024 * 1024

/** Facts of a clip that breaks no rule, apart from the given ones. */
function clip(differing: Partial<ClipFacts> = {}): ClipFacts {
  const video = { width: 1280, height: 720, codec: 'avc1' }
  const source = 'its header'
  return { duration_seconds: 8, container: 'mp4', video, sound: true, bytes: 5 * MB, source, ...differing }
}

function image(differing: Partial<ImageFacts> = {}): ImageFacts {
  return { format: 'png', width: 1024, height: 1024, bytes: 2 * MB, ...differing }
}

const rules = { character_orientation: 'image', keep_original_sound: 'yes' } as const

/** The only check of a rule. */
function find(checks: readonly Check[], rule: string): Check {
  const found = checks.filter((check) => check.rule === rule)
  const [only] = found
  if (only === undefined || found.length > 1) throw new Error(`${found.length} checks of the rule ${rule}`)
  return only
}

/** The advice to the user, null if the rule is not broken. */
function adviceOf(check: Check): string | null {
  return check.verdict === 'pass' ? null : check.advice
}

function lengthCheck(seconds: number, character_orientation: 'image' | 'video'): Check {
  return find(checkClip(clip({ duration_seconds: seconds }), { ...rules, character_orientation }), 'length')
}

describe('references that break no rule', () => {
  it('a clip that breaks no rule passes every check', () => {
    expect(checkClip(clip(), rules)).toMatchInlineSnapshot(`
      [
        {
          "found": "8 s",
          "input": "video_url",
          "limit": "3 to 10 s",
          "rule": "length",
          "verdict": "pass",
        },
        {
          "found": "mp4",
          "input": "video_url",
          "limit": "mp4 or mov",
          "rule": "container",
          "verdict": "pass",
        },
        {
          "found": "avc1",
          "input": "video_url",
          "limit": "at least one",
          "rule": "video track",
          "verdict": "pass",
        },
        {
          "found": "1280 × 720 px",
          "input": "video_url",
          "limit": "each side 340 to 3850 px",
          "rule": "width × height",
          "verdict": "pass",
        },
        {
          "found": "5 MB",
          "input": "video_url",
          "limit": "at most 100 MB",
          "rule": "size",
          "verdict": "pass",
        },
        {
          "found": "yes",
          "input": "video_url",
          "limit": "kept if present",
          "rule": "sound",
          "verdict": "pass",
        },
      ]
    `)
  })

  it('an image that breaks no rule passes every check', () => {
    expect(checkImage(image())).toMatchInlineSnapshot(`
      [
        {
          "found": "png",
          "input": "image_url",
          "limit": "jpeg or png",
          "rule": "format",
          "verdict": "pass",
        },
        {
          "found": "1024 × 1024 px",
          "input": "image_url",
          "limit": "each side 300 to 65536 px",
          "rule": "width × height",
          "verdict": "pass",
        },
        {
          "found": "1:1",
          "input": "image_url",
          "limit": "1:2.5 to 2.5:1",
          "rule": "width : height",
          "verdict": "pass",
        },
        {
          "found": "2 MB",
          "input": "image_url",
          "limit": "at most 10 MB",
          "rule": "size",
          "verdict": "pass",
        },
      ]
    `)
  })
})

describe('length', () => {
  it.each([
    [2.949, 'refuse', 'refuse'],
    [2.9494, 'refuse', 'refuse'],
    [2.95, 'warn', 'warn'],
    [2.999, 'warn', 'warn'],
    [3, 'pass', 'pass'],
    [10, 'pass', 'pass'],
    [10.001, 'warn', 'pass'],
    [10.033, 'warn', 'pass'],
    [10.05, 'warn', 'pass'],
    [10.051, 'refuse', 'pass'],
    [30, 'refuse', 'pass'],
    [30.001, 'refuse', 'warn'],
    [30.05, 'refuse', 'warn'],
    [30.051, 'refuse', 'refuse'],
    [0, 'refuse', 'refuse'],
    [86_400, 'refuse', 'refuse'],
  ])(
    'a clip of %d s gets the verdict "%s" with the orientation image and "%s" with video',
    (seconds, withImage, withVideo) => {
      expect(lengthCheck(seconds, 'image').verdict).toBe(withImage)
      expect(lengthCheck(seconds, 'video').verdict).toBe(withVideo)
    },
  )

  it('the length advice for the orientation image states the length, the limits and the remedy', () => {
    const found = [2.9, 2.97, 10.03, 10.4, 31].map((seconds) => adviceOf(lengthCheck(seconds, 'image')))
    expect(found).toMatchInlineSnapshot(`
      [
        "video_url lasts 2.9 s; character_orientation: image allows 3 to 10 s. Use a longer clip, at least 3 s.",
        "video_url lasts 2.97 s; character_orientation: image allows 3 to 10 s. The difference is at most 0.05 s and can be encoder rounding, but Kling may still refuse the clip.",
        "video_url lasts 10.03 s; character_orientation: image allows 3 to 10 s. The difference is at most 0.05 s and can be encoder rounding, but Kling may still refuse the clip.",
        "video_url lasts 10.4 s; character_orientation: image allows 3 to 10 s. Use character_orientation: video (3 to 30 s; the whole clip is billed), or trim it: ffmpeg -i in.mp4 -t 10 out.mp4",
        "video_url lasts 31 s; character_orientation: image allows 3 to 10 s. Trim it: ffmpeg -i in.mp4 -t 10 out.mp4",
      ]
    `)
  })

  it('the length advice for the orientation video states the length, the limits and the remedy', () => {
    const found = [2.9, 2.97, 30.03, 40].map((seconds) => adviceOf(lengthCheck(seconds, 'video')))
    expect(found).toMatchInlineSnapshot(`
      [
        "video_url lasts 2.9 s; character_orientation: video allows 3 to 30 s. Use a longer clip, at least 3 s.",
        "video_url lasts 2.97 s; character_orientation: video allows 3 to 30 s. The difference is at most 0.05 s and can be encoder rounding, but Kling may still refuse the clip.",
        "video_url lasts 30.03 s; character_orientation: video allows 3 to 30 s. The difference is at most 0.05 s and can be encoder rounding, but Kling may still refuse the clip.",
        "video_url lasts 40 s; character_orientation: video allows 3 to 30 s. Trim it: ffmpeg -i in.mp4 -t 30 out.mp4",
      ]
    `)
  })

  it('the length advice suggests the orientation video only for a clip that it allows', () => {
    expect(adviceOf(lengthCheck(30, 'image'))).toContain(
      'character_orientation: video (3 to 30 s; the whole clip is billed)',
    )
    expect(adviceOf(lengthCheck(30.001, 'image'))).not.toContain('character_orientation: video')
  })
})

describe('sides of a clip', () => {
  it.each([
    [340, 340, 'pass'],
    [339, 340, 'refuse'],
    [340, 339, 'refuse'],
    [3850, 3850, 'pass'],
    [3851, 1080, 'refuse'],
    [1080, 3851, 'refuse'],
    [3850, 340, 'pass'],
    [3851, 339, 'refuse'],
  ])('a clip of %d × %d px gets the verdict "%s"', (width, height, verdict) => {
    const facts = clip({ video: { width, height, codec: 'avc1' } })
    expect(find(checkClip(facts, rules), 'width × height').verdict).toBe(verdict)
  })

  it('the advice on the sides of a clip states the sides, the limits and the remedy', () => {
    const facts = clip({ video: { width: 320, height: 240, codec: 'avc1' } })
    expect(adviceOf(find(checkClip(facts, rules), 'width × height'))).toMatchInlineSnapshot(
      `"video_url is 320 × 240 px; each side must be 340 to 3850 px. Scale or crop it."`,
    )
  })
})

describe('video track', () => {
  it('a clip without a video track is refused, and its sides are not checked', () => {
    const found = checkClip(clip({ video: null }), rules)
    expect(found.map(({ rule }) => rule)).toEqual(['length', 'container', 'video track', 'size', 'sound'])
    const check = find(found, 'video track')
    expect(check.verdict).toBe('refuse')
    expect(adviceOf(check)).toMatchInlineSnapshot(
      `"video_url has no video track, only sound or data. Use a clip with a picture."`,
    )
  })
})

describe('sound', () => {
  it('a clip without sound gets only a warning when keep_original_sound is yes', () => {
    const check = find(checkClip(clip({ sound: false }), rules), 'sound')
    expect(check.verdict).toBe('warn')
    expect(adviceOf(check)).toMatchInlineSnapshot(
      `"keep_original_sound is yes, but video_url has no sound, so the video will be silent. Use a clip with sound, or keep_original_sound: no."`,
    )
  })

  it.each([true, false])(
    'the sound of a clip is not checked with keep_original_sound: no (sound: %s)',
    (sound) => {
      const found = checkClip(clip({ sound }), { ...rules, keep_original_sound: 'no' })
      expect(found.map(({ rule }) => rule)).not.toContain('sound')
    },
  )
})

describe('size', () => {
  it.each([
    [0, 'pass'],
    [100 * MB, 'pass'],
    [100 * MB + 1, 'warn'],
    [100 * MIB, 'warn'],
    [100 * MIB + 1, 'refuse'],
  ])('a clip of %d bytes gets the verdict "%s"', (bytes, verdict) => {
    expect(find(checkClip(clip({ bytes }), rules), 'size').verdict).toBe(verdict)
  })

  it.each([
    [10 * MB, 'pass'],
    [10 * MB + 1, 'warn'],
    [10 * MIB, 'warn'],
    [10 * MIB + 1, 'refuse'],
  ])('an image of %d bytes gets the verdict "%s"', (bytes, verdict) => {
    expect(find(checkImage(image({ bytes })), 'size').verdict).toBe(verdict)
  })

  it('the size advice states the size, the limit and the remedy', () => {
    const clips = [102 * MB, 110 * MB].map((bytes) => find(checkClip(clip({ bytes }), rules), 'size'))
    const images = [10.2 * MB, 11 * MB].map((bytes) => find(checkImage(image({ bytes })), 'size'))
    expect([...clips, ...images].map(adviceOf)).toMatchInlineSnapshot(`
      [
        "video_url is 102 MB, a little over 100 MB; Kling may refuse it. Compress it to be sure.",
        "video_url is 110 MB; the limit is 100 MB. Compress it or scale it down.",
        "image_url is 10.2 MB, a little over 10 MB; Kling may refuse it. Compress it to be sure.",
        "image_url is 11 MB; the limit is 10 MB. Compress it or scale it down.",
      ]
    `)
  })

  it('the size advice has enough digits to show that the size exceeds the limit', () => {
    const advice = adviceOf(find(checkClip(clip({ bytes: 100 * MB + 1 }), rules), 'size'))
    expect(advice).toContain('is 100.000001 MB, a little over 100 MB')
  })
})

describe('sides of an image', () => {
  it.each([
    [300, 300, 'pass'],
    [299, 300, 'refuse'],
    [300, 299, 'refuse'],
    [65_536, 65_536, 'pass'],
    [65_537, 65_536, 'refuse'],
    [65_536, 65_537, 'refuse'],
  ])('an image with sides of %d × %d px gets the verdict "%s"', (width, height, verdict) => {
    expect(find(checkImage(image({ width, height })), 'width × height').verdict).toBe(verdict)
  })

  it('the advice on the sides of an image states the sides, the limits and the remedy', () => {
    const check = find(checkImage(image({ width: 200, height: 300 })), 'width × height')
    expect(adviceOf(check)).toMatchInlineSnapshot(
      `"image_url is 200 × 300 px; each side must be 300 to 65536 px. Scale or crop it."`,
    )
  })
})

describe('ratio of an image', () => {
  it.each([
    [750, 300, 'pass', '2.5:1'],
    [751, 300, 'refuse', '2.50333:1'],
    [300, 750, 'pass', '1:2.5'],
    [300, 751, 'refuse', '1:2.50333'],
    [26_214, 65_535, 'pass', '1:2.5'],
    [1024, 1024, 'pass', '1:1'],
    [1920, 1080, 'pass', '1.778:1'],
  ])('the ratio of an image of %d × %d px gets the verdict "%s"', (width, height, verdict, found) => {
    expect(find(checkImage(image({ width, height })), 'width : height')).toMatchObject({ verdict, found })
  })

  it('the advice on the ratio of an image states the sides, the limits and the remedy', () => {
    const found = [image({ width: 3000, height: 1000 }), image({ width: 500, height: 2000 })].map((facts) =>
      adviceOf(find(checkImage(facts), 'width : height')),
    )
    expect(found).toMatchInlineSnapshot(`
      [
        "image_url is 3000 × 1000 px; ratios from 1:2.5 to 2.5:1 are allowed. Crop it or add a border.",
        "image_url is 500 × 2000 px; ratios from 1:2.5 to 2.5:1 are allowed. Crop it or add a border.",
      ]
    `)
  })

  it('a refused ratio is not rounded to an allowed one', () => {
    const check = find(checkImage(image({ width: 10_000, height: 25_001 })), 'width : height')
    expect(check.verdict).toBe('refuse')
    expect(check.found).toBe('1:2.5001')
  })
})

describe('advice', () => {
  it('the advice on every broken rule names its input and is a whole sentence', () => {
    const broken = [
      ...checkClip(
        clip({ duration_seconds: 99, video: { width: 1, height: 1, codec: 'x' }, sound: false, bytes: 1e9 }),
        rules,
      ),
      ...checkImage(image({ width: 1, height: 9, bytes: 1e9 })),
    ].filter((check) => check.verdict !== 'pass')
    expect(broken.map(({ rule }) => rule)).toEqual([
      'length',
      'width × height',
      'size',
      'sound',
      'width × height',
      'width : height',
      'size',
    ])
    for (const check of broken) {
      expect(adviceOf(check)).toContain(check.input)
      expect(adviceOf(check)).toMatch(/\.$|: ffmpeg .* out\.mp4$/)
    }
  })
})
