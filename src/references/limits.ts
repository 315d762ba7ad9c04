/**
 * How large references may be. Kling publishes 10 and 100 MB, and not whether MB or MiB are meant.
 */

export const IMAGE_MAX_MEGABYTES = 10
export const CLIP_MAX_MEGABYTES = 100

/** The larger readings: what is longer is never read. */
export const IMAGE_MAX_BYTES = IMAGE_MAX_MEGABYTES * 2 ** 20
export const CLIP_MAX_BYTES = CLIP_MAX_MEGABYTES * 2 ** 20
