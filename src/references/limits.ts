/**
 * How large references may be. Kling publishes 10 and 100 MB, but not whether it means MB or MiB.
 */

export const IMAGE_MAX_MEGABYTES = 10
export const CLIP_MAX_MEGABYTES = 100

/** The larger interpretation: nothing longer is ever read. */
export const IMAGE_MAX_BYTES = IMAGE_MAX_MEGABYTES * 2 ** 20
export const CLIP_MAX_BYTES = CLIP_MAX_MEGABYTES * 2 ** 20
