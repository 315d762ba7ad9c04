/**
 * The real type of a file, and the message for every type that is not accepted.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import type { Kind } from '../../src/media/kind.ts'
import { type Network, openNetwork, TIMEOUTS } from '../../src/network/network.ts'
import { refusePage, requireKind } from '../../src/references/content.ts'
import { type Reference, remoteReference } from '../../src/references/reference.ts'
import { RemoteFile } from '../../src/references/remote-file.ts'
import { type Sandbox, startSandbox } from '../fakes/sandbox/server.ts'

const MEDIA = join(import.meta.dirname, '../media')
const CLIP: Kind[] = ['mp4', 'mov']
const IMAGE: Kind[] = ['jpeg', 'png']

let sandbox: Sandbox
let network: Network

beforeAll(async () => {
  sandbox = await startSandbox()
  network = openNetwork(new URL(sandbox.apiUrl), TIMEOUTS)
})
afterAll(async () => {
  await network[Symbol.asyncDispose]()
  await sandbox.close()
})

/** A reference with this URL to bytes that the sandbox serves in place of its host. */
function opened(bytes: Uint8Array, input: Reference['input'], url = 'https://media.example/file') {
  sandbox.media.put(decodeURIComponent(new URL(url).pathname.slice(1)), bytes)
  const media = network.media.compose((dispatch) => (options, handler) => {
    return dispatch(
      { ...options, origin: sandbox.mediaUrl, path: `/habit/ignores-range${options.path}` },
      handler,
    )
  })
  const reach = { network: { ...network, media }, folder: '', signal: new AbortController().signal }
  return RemoteFile.open(remoteReference(input, url, 1e6), reach)
}

/** The kind of a clip, or the message that refuses it. */
async function asClip(bytes: Uint8Array, url?: string): Promise<string> {
  return requireKind(await opened(bytes, 'video_url', url), CLIP).catch(sentence)
}

/** The kind of an image, or the message that refuses it. */
async function asImage(bytes: Uint8Array, url?: string): Promise<string> {
  return requireKind(await opened(bytes, 'image_url', url), IMAGE).catch(sentence)
}

function sentence(error: unknown): string {
  if (!(error instanceof Failure)) throw error
  expect(error.reason).toBe('reference_rejected')
  expect(error.problems).toHaveLength(1)
  return error.message
}

const files = (folder: string) =>
  readdirSync(join(MEDIA, folder))
    .filter((name) => !/\.(py|sh)$/.test(name))
    .map((name) => ({ name, bytes: readFileSync(join(MEDIA, folder, name)) }))

/** One line for each file of a folder, in the order of their names. */
async function lines(folder: string, say: (bytes: Buffer, url: string) => Promise<string>): Promise<string> {
  const said: string[] = []
  for (const { name, bytes } of files(folder)) {
    said.push(`${name}: ${(await say(bytes, `https://media.example/${name}`)).replace(/\S+_url \S+ /, '')}`)
  }
  return `\n${said.join('\n')}\n`
}

describe('clips', () => {
  it('video_url accepts mp4 and mov clips and says what every other file really is', async () => {
    const all = (await lines('corpus', asClip)).split('\n')
    const taken = all.filter((line) => /: (mp4|mov)$/.test(line))
    expect(taken).toHaveLength(files('corpus').filter(({ name }) => /\.(mp4|mov)$/.test(name)).length)
    expect(all.filter((line) => !taken.includes(line)).join('\n')).toMatchInlineSnapshot(`
      "
      clip.avi: is actually a file of type AVI. Convert the clip to mp4 or mov.
      clip.gif: is actually a file of type GIF. Convert the clip to mp4 or mov.
      clip.mkv: is actually a file of type MKV. Convert the clip to mp4 or mov.
      clip.webm: is actually a file of type WEBM. Convert the clip to mp4 or mov.
      lfs-pointer.txt: is a Git LFS pointer of 133 bytes, not the clip itself. Use the URL of the file itself.
      notes.txt: is a text file of 42 bytes, not an mp4 or mov file. Use the direct URL of the clip.
      page.html: is an HTML page, perhaps a login or a share page. Use the direct URL of the clip.
      playlist.m3u8: is a playlist, not an mp4 or mov file. Use the direct URL of the clip.
      "
    `)
  })

  it('video_url refuses every image and says what it really is', async () => {
    expect(await lines('images', asClip)).toMatchInlineSnapshot(`
      "
      edge.png: is actually a file of type PNG. Perhaps image_url and video_url are swapped.
      late-sof.jpg: is actually a file of type JPG. Perhaps image_url and video_url are swapped.
      ok.jpg: is actually a file of type JPG. Perhaps image_url and video_url are swapped.
      ok.png: is actually a file of type PNG. Perhaps image_url and video_url are swapped.
      pic.gif: is actually a file of type GIF. Convert the clip to mp4 or mov.
      rotated.jpg: is actually a file of type JPG. Perhaps image_url and video_url are swapped.
      small-side.png: is actually a file of type PNG. Perhaps image_url and video_url are swapped.
      svg.svg: is an SVG drawing, not an mp4 or mov file. Convert the clip to mp4 or mov.
      tall.png: is actually a file of type PNG. Perhaps image_url and video_url are swapped.
      webp.webp: is actually a file of type WEBP. Convert the clip to mp4 or mov.
      wide.png: is actually a file of type PNG. Perhaps image_url and video_url are swapped.
      "
    `)
  })
})

describe('images', () => {
  it('image_url accepts jpeg and png images and says what every other image really is', async () => {
    expect(await lines('images', asImage)).toMatchInlineSnapshot(`
      "
      edge.png: png
      late-sof.jpg: jpeg
      ok.jpg: jpeg
      ok.png: png
      pic.gif: is actually a file of type GIF. Convert the image to jpeg or png.
      rotated.jpg: jpeg
      small-side.png: png
      svg.svg: is an SVG drawing, not a jpeg or png file. Convert the image to jpeg or png.
      tall.png: png
      webp.webp: is actually a file of type WEBP. Convert the image to jpeg or png.
      wide.png: png
      "
    `)
  })

  it('image_url refuses an mp4 clip and suggests that image_url and video_url are swapped', async () => {
    expect(await asImage(readFileSync(join(MEDIA, 'corpus/3s.mp4')))).toMatchInlineSnapshot(
      `"image_url https://media.example/file is actually a file of type MP4. Perhaps image_url and video_url are swapped."`,
    )
  })
})

describe('other files', () => {
  const ftyp = (brand: string) => Buffer.from(`\0\0\0\x18ftyp${brand}\0\0\0\0${brand}mp41`, 'latin1')
  const other: Record<string, Buffer> = {
    'HEIC photo': ftyp('heic'),
    'AVIF photo': ftyp('avif'),
    '3GP clip': ftyp('3gp5'),
    PDF: Buffer.from('%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n', 'latin1'),
    ZIP: Buffer.concat([Buffer.from('PK\x03\x04\x14\0\0\0\0\0', 'latin1'), Buffer.alloc(40)]),
    nothing: Buffer.alloc(0),
    zeros: Buffer.alloc(1000),
    JSON: Buffer.from('{"error":"not found"}'),
    XML: Buffer.from('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'),
    'HLS playlist': Buffer.from('#EXTM3U\n#EXT-X-VERSION:3\nhttps://media.example/1.ts\n'),
    'DASH playlist': Buffer.from('<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>'),
    'HTML in capitals': Buffer.from('\n  <HTML><BODY>Sign in</BODY></HTML>'),
    'Chinese text': Buffer.from('保持人物朝向与参考图一致'),
    'text in UTF-16': Buffer.from('\ufeffnot a clip', 'utf16le'),
  }

  it('video_url refuses any other type of file with a message about what the file is', async () => {
    const said = await Promise.all(
      Object.entries(other).map(async ([name, bytes]) => [name, await asClip(bytes, url(name))]),
    )
    expect(Object.fromEntries(said)).toMatchInlineSnapshot(`
      {
        "3GP clip": "video_url https://media.example/3GP-clip is actually a file of type 3GP. Convert the clip to mp4 or mov.",
        "AVIF photo": "video_url https://media.example/AVIF-photo is actually a file of type AVIF. Convert the clip to mp4 or mov.",
        "Chinese text": "video_url https://media.example/Chinese-text is a text file of 36 bytes, not an mp4 or mov file. Use the direct URL of the clip.",
        "DASH playlist": "video_url https://media.example/DASH-playlist is a playlist, not an mp4 or mov file. Use the direct URL of the clip.",
        "HEIC photo": "video_url https://media.example/HEIC-photo is actually a file of type HEIC. Convert the clip to mp4 or mov.",
        "HLS playlist": "video_url https://media.example/HLS-playlist is a playlist, not an mp4 or mov file. Use the direct URL of the clip.",
        "HTML in capitals": "video_url https://media.example/HTML-in-capitals is an HTML page, perhaps a login or a share page. Use the direct URL of the clip.",
        "JSON": "video_url https://media.example/JSON is a text file of 21 bytes, not an mp4 or mov file. Use the direct URL of the clip.",
        "PDF": "video_url https://media.example/PDF is actually a file of type PDF. Convert the clip to mp4 or mov.",
        "XML": "video_url https://media.example/XML is an XML document, perhaps an error message of its host, not an mp4 or mov file. Use the direct URL of the clip.",
        "ZIP": "video_url https://media.example/ZIP is actually a file of type ZIP. Convert the clip to mp4 or mov.",
        "nothing": "video_url https://media.example/nothing is an empty file. Upload the clip again.",
        "text in UTF-16": "video_url https://media.example/text-in-UTF-16 is not an mp4 or mov file; its type is unknown. Convert the clip to mp4 or mov.",
        "zeros": "video_url https://media.example/zeros is not an mp4 or mov file; its type is unknown. Convert the clip to mp4 or mov.",
      }
    `)
  })

  it('image_url refuses any other type of file with a message about what the file is', async () => {
    const said = await Promise.all(
      Object.entries(other).map(async ([name, bytes]) => [
        name,
        await asImage(bytes, url(`image of ${name}`)),
      ]),
    )
    expect(Object.fromEntries(said)).toMatchInlineSnapshot(`
      {
        "3GP clip": "image_url https://media.example/image-of-3GP-clip is actually a file of type 3GP. Convert the image to jpeg or png.",
        "AVIF photo": "image_url https://media.example/image-of-AVIF-photo is actually a file of type AVIF. Convert the image to jpeg or png.",
        "Chinese text": "image_url https://media.example/image-of-Chinese-text is a text file of 36 bytes, not a jpeg or png file. Use the direct URL of the image.",
        "DASH playlist": "image_url https://media.example/image-of-DASH-playlist is a playlist, not a jpeg or png file. Use the direct URL of the image.",
        "HEIC photo": "image_url https://media.example/image-of-HEIC-photo is actually a file of type HEIC. Convert the image to jpeg or png.",
        "HLS playlist": "image_url https://media.example/image-of-HLS-playlist is a playlist, not a jpeg or png file. Use the direct URL of the image.",
        "HTML in capitals": "image_url https://media.example/image-of-HTML-in-capitals is an HTML page, perhaps a login or a share page. Use the direct URL of the image.",
        "JSON": "image_url https://media.example/image-of-JSON is a text file of 21 bytes, not a jpeg or png file. Use the direct URL of the image.",
        "PDF": "image_url https://media.example/image-of-PDF is actually a file of type PDF. Convert the image to jpeg or png.",
        "XML": "image_url https://media.example/image-of-XML is an XML document, perhaps an error message of its host, not a jpeg or png file. Use the direct URL of the image.",
        "ZIP": "image_url https://media.example/image-of-ZIP is actually a file of type ZIP. Convert the image to jpeg or png.",
        "nothing": "image_url https://media.example/image-of-nothing is an empty file. Upload the image again.",
        "text in UTF-16": "image_url https://media.example/image-of-text-in-UTF-16 is not a jpeg or png file; its type is unknown. Convert the image to jpeg or png.",
        "zeros": "image_url https://media.example/image-of-zeros is not a jpeg or png file; its type is unknown. Convert the image to jpeg or png.",
      }
    `)
  })

  const url = (name: string) => `https://media.example/${name.replaceAll(' ', '-')}`
})

describe('Git LFS pointers', () => {
  const pointer = Buffer.from(
    `version https://git-lfs.github.com/spec/v1\noid sha256:${'ab'.repeat(32)}\nsize 4194304\n`,
  )

  it('the error for a Git LFS pointer on raw.githubusercontent.com contains the URL of the file behind it', async () => {
    const url = 'https://raw.githubusercontent.com/octo/videos/main/clips/walk%20cycle.mp4?token=5ec7e7'
    expect(await asClip(pointer, url)).toMatchInlineSnapshot(
      `"video_url https://raw.githubusercontent.com/octo/videos/main/clips/walk%20cycle.mp4?… is a Git LFS pointer of 132 bytes, not the clip itself. Use https://media.githubusercontent.com/media/octo/videos/main/clips/walk%20cycle.mp4 instead."`,
    )
    expect(
      await asImage(pointer, 'https://raw.githubusercontent.com/octo/videos/v1.2/hero.png'),
    ).toMatchInlineSnapshot(
      `"image_url https://raw.githubusercontent.com/octo/videos/v1.2/hero.png is a Git LFS pointer of 132 bytes, not the image itself. Use https://media.githubusercontent.com/media/octo/videos/v1.2/hero.png instead."`,
    )
  })

  it('the error for a Git LFS pointer on another host contains no URL of the file behind it', async () => {
    expect(await asClip(pointer, 'https://gitlab.example/octo/videos/walk.mp4')).toMatchInlineSnapshot(
      `"video_url https://gitlab.example/octo/videos/walk.mp4 is a Git LFS pointer of 132 bytes, not the clip itself. Use the URL of the file itself."`,
    )
  })
})

describe('pages of github.com', () => {
  const refused = (url: string, input: Reference['input'] = 'video_url') => {
    try {
      refusePage(remoteReference(input, url, 1))
      return null
    } catch (error) {
      return sentence(error)
    }
  }

  it('a blob page of github.com is refused with the raw URL of its file, unless it has raw=true', () => {
    expect(refused('https://github.com/octo/videos/blob/main/clips/walk.mp4')).toMatchInlineSnapshot(
      `"video_url https://github.com/octo/videos/blob/main/clips/walk.mp4 is a page of github.com about the file, not the file itself. Use https://raw.githubusercontent.com/octo/videos/main/clips/walk.mp4 instead."`,
    )
    expect(
      refused('https://github.com/octo/videos/blob/v1/hero.png?raw=true#L1', 'image_url'),
    ).toMatchInlineSnapshot(`null`)
  })

  it.each([
    'https://github.com/octo/videos/raw/main/clips/walk.mp4',
    'https://github.com/octo/videos/releases/download/v1/walk.mp4',
    'https://raw.githubusercontent.com/octo/videos/main/blob/walk.mp4',
    'https://github.com.example/octo/videos/blob/main/walk.mp4',
    'https://media.example/octo/videos/blob/main/walk.mp4',
    'https://github.com/octo/videos/blob/main',
  ])('%s is not refused as a page of github.com', (url) => {
    expect(refused(url)).toBeNull()
  })
})
