import * as v from 'valibot'
import { Refusal } from './errors.ts'

/** USD per second of clip: the sandbox's own prices. */
export const PRICES = {
  'kling-v2-6-motion-control': { std: 0.057, pro: 0.091 },
  'kling-v3-motion-control': { std: 0.103, pro: 0.137 },
} as const

/** The longest clip allowed, in seconds, by orientation. */
const LIMITS = { image: 10, video: 30 } as const

const httpUrl = v.pipe(
  v.string('must be a URL'),
  v.check(
    (text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ''),
    'must be a publicly reachable http(s) URL',
  ),
)

const SubmissionSchema = v.looseObject(
  {
    model: v.picklist(
      ['kling-v2-6-motion-control', 'kling-v3-motion-control'],
      ({ received }) => `must be a model of this API, not ${received}`,
    ),
    image_url: httpUrl,
    video_url: httpUrl,
    character_orientation: v.picklist(['image', 'video'], 'must be "image" or "video"'),
    mode: v.picklist(['std', 'pro'], 'must be "std" or "pro"'),
    prompt: v.optional(
      v.pipe(
        v.string('must be a string'),
        v.check((text) => Array.from(text).length <= 2500, 'must have at most 2500 characters'),
      ),
    ),
    keep_original_sound: v.optional(v.picklist(['yes', 'no'], 'must be the string "yes" or "no"')),
    watermark_info: v.optional(
      v.object({ enabled: v.boolean('must be a boolean') }, 'must be an object with "enabled"'),
    ),
  },
  ({ expected }) => (expected === 'Object' ? 'the request must be a JSON object' : 'is required'),
)

/** A request that follows the documented rules. */
export type Submission = v.InferOutput<typeof SubmissionSchema>

/** Checks the fields of a request body. Throws a `Refusal` that names the first wrong field. */
export function checkedSubmission(body: unknown): Submission {
  const { success, output, issues } = v.safeParse(SubmissionSchema, body, { abortEarly: true })
  if (success) return output
  const path = v.getDotPath(issues[0])
  throw new Refusal(400, path === null ? issues[0].message : `${path} ${issues[0].message}`)
}

/** Throws a `Refusal` for a clip that is too short, or longer than its orientation allows. */
export function checkLength(seconds: number, orientation: Submission['character_orientation']): void {
  const tolerance = 0.05
  const limit = LIMITS[orientation]
  if (seconds >= 3 - tolerance && seconds <= limit + tolerance) return
  const rule = `character_orientation "${orientation}" takes clips of 3 to ${limit} s`
  throw new Refusal(400, `video_url lasts ${seconds.toFixed(2)} s, ${rule}`)
}
