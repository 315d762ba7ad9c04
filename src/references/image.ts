/**
 * The facts of the reference image, from its header.
 */

import { JPG } from 'image-size/types/jpg'
import { PNG } from 'image-size/types/png'
import type { ImageFacts, Size } from '../media/facts.ts'
import { HEAD_BYTES } from '../media/read-at.ts'
import { refusePage, requireKind } from './content.ts'
import { type ReferenceFile, rejected } from './reference.ts'
import { type ReferenceAccess, RemoteFile } from './remote-file.ts'
import type { ImageSource } from './sources.ts'

/** How far to search a JPEG for its size: profiles and previews may come first. Junk costs image-size 0.14 s per MiB. */
const HEADER_PIECES = [HEAD_BYTES, 2 ** 20, 4 * 2 ** 20]

/**
 * Reads what the rules need to know about the image.
 *
 * @throws Failure `reference_unreachable` or `reference_rejected` with what is wrong and what to do
 */
export async function readImage(place: ImageSource, access: ReferenceAccess): Promise<ImageFacts> {
  const file = await openImage(place, access)
  const format = await requireKind(file, ['jpeg', 'png'])
  const size = await readSize(format === 'png' ? PNG : JPG, file)
  if (!size) {
    throw rejected(
      file.reference,
      `cannot be used: its width and height cannot be read. It may be a damaged or unusual ${format} file. Save the image again`,
    )
  }
  return { format, width: size.width, height: size.height, bytes: await file.length() }
}

async function openImage(place: ImageSource, access: ReferenceAccess): Promise<ReferenceFile> {
  if (place.kind === 'file') return place.opened
  refusePage(place.reference)
  return RemoteFile.open(place.reference, access)
}

async function readSize(format: typeof JPG, file: ReferenceFile): Promise<Size | null> {
  for (const length of HEADER_PIECES) {
    const bytes = await file.read(0, length)
    const size = calculate(format, bytes)
    if (size || bytes.length < length) return size
  }
  return null
}

/** image-size throws on damage; it gets its own copy of the bytes, so that it cannot read past a truncated header. */
function calculate(format: typeof JPG, bytes: Buffer): Size | null {
  // In a png that begins with another chunk, the bytes of that chunk would be taken for the size.
  if (format === PNG && bytes.toString('latin1', 12, 16) !== 'IHDR') return null
  try {
    const { width, height } = format.calculate(new Uint8Array(bytes))
    return width > 0 && height > 0 ? { width, height } : null
  } catch {
    return null
  }
}
