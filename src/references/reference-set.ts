/**
 * The references of all videos of a step: each is found and read once, no matter how many videos use it.
 */
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { joinFailures } from '../failure.ts'
import type { NewTaskInputs } from '../inputs/inputs.ts'
import { textOf } from '../inputs/reference-text.ts'
import type { ClipFacts, ImageFacts } from '../media/facts.ts'
import { readClip } from './clip.ts'
import { type Identities, type Identity, identifyClip, identifyImage } from './identity.ts'
import { readImage } from './image.ts'
import type { FactsReader } from './preflight.ts'
import type { ReferenceAccess } from './remote-file.ts'
import {
  type Checkout,
  type ClipSource,
  findClip,
  findImage,
  type ImageSource,
  type Sources,
} from './sources.ts'

/** Caches one promise per key. */
class Once<T> {
  readonly #promises = new Map<string, Promise<T>>()

  get(key: string, ask: () => Promise<T>): Promise<T> {
    const promise = this.#promises.get(key) ?? ask()
    this.#promises.set(key, promise)
    return promise
  }
}

export class ReferenceSet implements FactsReader {
  readonly #checkout: Checkout
  readonly #access: ReferenceAccess
  readonly #images = new Once<ImageSource>()
  readonly #clips = new Once<ClipSource>()
  readonly #imageFacts = new Once<ImageFacts>()
  readonly #clipFacts = new Once<ClipFacts>()
  readonly #identities = new Once<Identity>()

  constructor(checkout: Checkout, access: ReferenceAccess) {
    this.#checkout = checkout
    this.#access = access
  }

  /**
   * Finds both references of a video.
   *
   * @throws Failure with what is wrong with either, like `findImage` and `findClip`
   */
  async find({ image_url, video_url }: Pick<NewTaskInputs, 'image_url' | 'video_url'>): Promise<Sources> {
    const found = await Promise.allSettled([
      this.#images.get(textOf(image_url), () => findImage(image_url, this.#checkout)),
      this.#clips.get(textOf(video_url), () => findClip(video_url, this.#checkout, this.#access)),
    ])
    const [image, clip] = found
    if (image.status === 'fulfilled' && clip.status === 'fulfilled') {
      return { image: image.value, clip: clip.value }
    }
    this.#access.signal.throwIfAborted()
    throw joinFailures(found.flatMap((one) => (one.status === 'rejected' ? [one.reason] : [])))
  }

  readImage(image: ImageSource): Promise<ImageFacts> {
    return this.#imageFacts.get(placeOf(image), () => readImage(image, this.#access))
  }

  /** @param inputs those of the step: clips are probed the same way for all of its videos */
  readClip(
    clip: ClipSource,
    inputs: Pick<NewTaskInputs, 'duration_probe' | 'ffprobe_path'>,
  ): Promise<ClipFacts> {
    return this.#clipFacts.get(clip.reference.url, async () =>
      readClip(clip.reference, inputs, await this.#ownAccess()),
    )
  }

  /** Reads both references completely; fails like `identifyImage` and `identifyClip`. */
  async identify({ image, clip }: Sources): Promise<Identities> {
    const [imageIdentity, clipIdentity] = await Promise.all([
      this.#identities.get(`image ${placeOf(image)}`, async () =>
        identifyImage(image, await this.#ownAccess()),
      ),
      this.#identities.get(`clip ${clip.reference.url}`, async () =>
        identifyClip(clip, await this.#ownAccess()),
      ),
    ])
    return { image: imageIdentity, clip: clipIdentity }
  }

  /** With its own folder, because references that are downloaded in parallel have the same file names. */
  async #ownAccess(): Promise<ReferenceAccess> {
    return { ...this.#access, folder: await mkdtemp(join(this.#access.folder, 'reference-')) }
  }
}

function placeOf(image: ImageSource): string {
  return image.kind === 'web' ? image.reference.url : image.file.path
}
