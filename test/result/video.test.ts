/**
 * The finished video: which link it is downloaded from, whether it is a video, and that nothing incomplete stays, over
 * real sockets and with real files.
 */

import { mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { describe, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import type { Timeouts } from '../../src/network/network.ts'
import {
  fetchVideo,
  inspectVideo,
  missedVideo,
  noVideo,
  type Round,
  type Video,
} from '../../src/result/video.ts'
import { prepareOutput } from '../../src/workspace/output-file.ts'
import { need } from '../harness/platform.ts'
import { FILE, LATER, NOW, openStudio, scripted, sha256, status, video } from './studio.ts'

/** The video of a round, or the failure of a run that ends with this round. */
function videoOf(round: Round): Video {
  if (round.kind === 'missed') throw noVideo(round.missed, NOW)
  return round.video
}

/** The video of a round that only inspects it. */
function inspected(round: Round): Video {
  const video = round.kind === 'missed' ? missedVideo(round.missed) : round.video
  if (video === null) throw noVideo([], NOW)
  return video
}

function fileOf({ file }: Video) {
  if (file === null) throw new Error('it was not stored')
  return file
}

/** A media host, and an output with an older video, which stays unless the new one is complete. */
async function studio(timeouts: Partial<Timeouts> = {}) {
  const opened = await openStudio(timeouts)
  const { sandbox, folder, context } = opened
  const before = process.cwd()
  process.chdir(folder)
  const output = await prepareOutput('video.mp4', folder)
  await writeFile(output.path, 'older video')
  const links = (urls: readonly string[], expiresAt = LATER) => urls.map((url) => ({ url, expiresAt }))

  /** Fetches the video; the stored file must be complete and described correctly. */
  async function fetchFrom(...urls: string[]) {
    const video = videoOf(await fetchVideo(links(urls), output, context()))
    const stored = await readFile(output.path)
    const { bytes, sha256: hash, path, storedAt } = fileOf(video)
    expect({ bytes, hash, path, storedAt }).toEqual({
      bytes: stored.length,
      hash: sha256(stored),
      path: 'video.mp4',
      storedAt: NOW,
    })
    expect(await readdir(folder)).toEqual(['video.mp4'])
    expect(video.trouble).toBe(null)
    return { url: video.link.url, seconds: video.seconds, stored }
  }

  /** The failure of a download, with a fixed name for the media host. */
  async function failure(urls: readonly string[], expiresAt?: number, to = output) {
    const error = await fetchVideo(links(urls, expiresAt), to, context())
      .then(videoOf)
      .catch((thrown: unknown) => thrown)
    if (!(error instanceof Failure)) throw new Error('there was no Failure', { cause: error })
    expect(error.reason).toBe('download_failed')
    const { remedy } = error
    return {
      problems: error.problems.map((text) => text.replaceAll(sandbox.mediaUrl, 'http://media.test')),
      remedy,
    }
  }

  /** The problem that a failed download reports for each link. */
  async function problems(urls: readonly string[], expiresAt?: number): Promise<string[]> {
    const found = await failure(urls, expiresAt)
    await expectUntouched()
    return found.problems
  }

  async function expectUntouched() {
    expect(await readdir(folder)).toEqual(['video.mp4'])
    expect(await readFile(output.path, 'utf8')).toBe('older video')
  }

  return {
    ...opened,
    output,
    fetchFrom,
    failure,
    problems,
    expectUntouched,
    fetchUntil: (signal: AbortSignal, ...urls: string[]) =>
      fetchVideo(links(urls), output, context({ signal })),
    lookAt: async (...urls: string[]) => inspected(await inspectVideo(links(urls), context())),
    lookUntil: (signal: AbortSignal, ...urls: string[]) => inspectVideo(links(urls), context({ signal })),
    async [Symbol.asyncDispose]() {
      process.chdir(before)
      await opened[Symbol.asyncDispose]()
    },
  }
}

const failed = (path: string, clause: string) =>
  `http://media.test${path} could not be downloaded: ${clause}.`

describe('a video', () => {
  it('the video is stored at its output path', async () => {
    await using at = await studio()
    const { url, seconds, stored } = await at.fetchFrom(at.url())
    expect({ url, seconds }).toEqual({ url: at.url(), seconds: 8.4 })
    expect(stored.equals(video)).toBe(true)
  })

  it.each([
    ['header-first.mov', 5],
    ['no-ftyp.mov', 5],
    ['prores.mov', 5],
    ['header-last.mp4', 5],
    ['header-last-beyond-64k.mp4', 5],
    ['header-over-64k.mp4', 5.6],
    ['large-offsets.mp4', 5],
    ['fragmented.mp4', null],
    ['fragmented-sidx.mp4', null],
    ['fragmented-delay-moov.mp4', null],
    ['fragmented-40s-claims-1s.mp4', null],
    ['zero-duration.mp4', null],
    ['mvhd-all-ones.mp4', null],
  ])('the video %s is stored, and the length known from its header is %s', async (name, seconds) => {
    await using at = await studio()
    expect(await at.fetchFrom(at.url(undefined, `corpus/${name}`))).toMatchObject({ seconds })
  })

  // On Windows, only administrators can link to files.
  it('the download replaces symbolic links at the output path and the partial file without following them', async (context) => {
    need('file links', context)
    await using at = await studio()
    const victim = `${at.folder}-victim`
    await writeFile(victim, 'mine')
    await rm(at.output.path)
    await symlink(victim, at.output.path)
    await symlink(victim, at.output.partial)
    await at.fetchFrom(at.url())
    expect(await readFile(victim, 'utf8')).toBe('mine')
    await rm(victim)
  })

  it('the video replaces a partial file that an earlier run has left behind', async () => {
    await using at = await studio()
    await writeFile(at.output.partial, 'half of another video')
    await utimes(at.output.partial, 0, 0)
    const { stored } = await at.fetchFrom(at.url())
    expect(stored.equals(video)).toBe(true)
  })
})

describe('an interrupted download', () => {
  const half = 73_790

  it.each(['cuts-once', 'cuts-once-ignores-range', 'cuts-once-changes'])(
    'the video is complete after an interrupted download (host habit: %s)',
    async (habit) => {
      await using at = await studio()
      const { stored } = await at.fetchFrom(at.url(habit))
      expect(stored.equals(video)).toBe(true)
      expect(at.asked()).toEqual(['all', `bytes=${half}-`])
    },
  )

  it.each([
    ['cut-connection', 6, 'the server closed the connection (UND_ERR_SOCKET)'],
    ['cut-chunked', 6, 'the server closed the connection (UND_ERR_SOCKET)'],
    ['announces-less', 1, 'the video is cut off'],
    ['truncated', 1, 'the video is cut off'],
  ])(
    'the download leaves the older file untouched when every response ends early (%s, %i requests)',
    async (habit, requests, says) => {
      await using at = await studio()
      expect(await at.problems([at.url(habit)])).toEqual([failed(`/habit/${habit}/${FILE}`, says)])
      expect(at.asked()).toHaveLength(requests)
    },
  )

  it('the download leaves the older file untouched when the server announces more than it sends', async () => {
    await using at = await studio()
    const says = failed(`/habit/announces-more/${FILE}`, 'its server returns inconsistent responses')
    expect(await at.problems([at.url('announces-more')])).toEqual([says])
    const rest = `bytes=${video.length}-`
    expect(at.asked()).toEqual(['all', rest, 'all', rest, 'all', rest])
  })

  it.each([
    'fragmented.mp4',
    'fragmented-sidx.mp4',
    'header-last.mp4',
    'header-first.mov',
    'large-offsets.mp4',
  ])('a truncated video is recognised by its own header although all lengths agree (%s)', async (name) => {
    await using at = await studio()
    const path = `corpus/${name}`
    expect(await at.problems([at.url('truncated', path)])).toEqual([
      failed(`/habit/truncated/${path}`, 'the video is cut off'),
    ])
  })
})

describe('a response that is not a video', () => {
  const not = (what: string) => `the URL serves ${what}, not an mp4 or mov video`

  it.each([
    ['html', FILE, not('an HTML page')],
    ['html-login', FILE, not('an HTML page')],
    ['lfs-pointer', FILE, not('something else')],
    ['empty', FILE, not('an empty file')],
    ['octet-stream', 'demo/hero.png', not('a file of type PNG')],
    ['octet-stream', 'demo/hero.jpg', not('a file of type JPG')],
    ['octet-stream', 'corpus/clip.gif', not('a file of type GIF')],
    ['octet-stream', 'corpus/clip.webm', not('a file of type WEBM')],
    ['octet-stream', 'corpus/clip.avi', not('a file of type AVI')],
    ['octet-stream', 'corpus/playlist.m3u8', not('something else')],
    ['octet-stream', 'corpus/audio-only.mp4', 'it has no video track'],
    ['gzip', FILE, 'its server sends a compressed version instead of the file itself'],
    ['missing', FILE, 'its server answers 404 Not Found'],
    ['server-error', FILE, 'its server answers 500 Internal Server Error'],
  ])(
    'a response without a usable video is not stored, and only a server error is retried (%s %s)',
    async (habit, path, says) => {
      await using at = await studio()
      expect(await at.problems([at.url(habit, path)])).toEqual([failed(`/habit/${habit}/${path}`, says)])
      expect(at.asked()).toEqual(Array(habit === 'server-error' ? 6 : 1).fill('all'))
    },
  )

  const FTYP = Buffer.from('\0\0\0\x18ftypisom\0\0\x02\0isommp41', 'latin1')

  it('a file that begins like a video but has no header is reported as cut off', async () => {
    await using at = await studio()
    const mdat = Buffer.from('\0\0\0\x18mdat0123456789abcdef', 'latin1')
    const url = at.sandbox.media.put('media-only.mp4', Buffer.concat([FTYP, mdat]))
    expect(await at.problems([url])).toEqual([failed('/files/media-only.mp4', 'the video is cut off')])
  })

  it('a file that begins like a video is stored although its header cannot be read', async () => {
    await using at = await studio()
    const bytes = Buffer.concat([FTYP, Buffer.alloc(5000)])
    const { stored, seconds } = await at.fetchFrom(at.sandbox.media.put('zeros.mp4', bytes))
    expect(stored.equals(bytes)).toBe(true)
    expect(seconds).toBe(null)
  })
})

describe('several links', () => {
  it('the other links are not requested when the first link works', async () => {
    await using at = await studio()
    expect(await at.fetchFrom(at.url(), at.url('octet-stream'))).toMatchObject({ url: at.url() })
    expect(at.asked()).toEqual(['all'])
  })

  it.each(['missing', 'html', 'truncated', 'redirect-to-private', 'expired-link', 'empty'])(
    'the links are tried in order until one works (habit of the first: %s)',
    async (habit) => {
      await using at = await studio()
      const { url, stored } = await at.fetchFrom(at.url(habit), at.url('teapot'), at.url())
      expect(url).toBe(at.url())
      expect(stored.equals(video)).toBe(true)
    },
  )

  it('the failure states a problem for each link when all links fail', async () => {
    await using at = await studio()
    const urls = [at.url('missing'), at.url('html'), at.url('expired-link'), at.url('redirect-to-private')]
    expect(await at.problems(urls, NOW)).toEqual([
      failed(
        `/habit/missing/${FILE}`,
        'its server answers 404 Not Found, because the link has expired (at 2050-11-22 10:11:12 UTC)',
      ),
      failed(`/habit/html/${FILE}`, 'the URL serves an HTML page, not an mp4 or mov video'),
      failed(
        `/habit/expired-link/${FILE}`,
        'its server answers 403 Forbidden, because the link has expired (at 2050-11-22 10:11:12 UTC)',
      ),
      failed(
        `/habit/redirect-to-private/${FILE}`,
        "it leads to fe80::1, which is not a public address, so neither this action nor the API's servers can fetch from it",
      ),
    ])
  })

  it('the failure advises to generate and pay again only when all links have expired', async () => {
    await using at = await studio()
    const expired = [at.url('gone'), at.url('expired-link')]
    const remedy =
      'The link has expired, and APIMart issues it only once. To get a video, you would have to pay for a new one.'
    expect((await at.failure(expired)).remedy).toBe(remedy)
    expect((await at.failure([at.url('missing')], NOW)).remedy).toBe(remedy)
    expect((await at.failure([...expired, at.url('missing')])).remedy).toBe(null)
    await at.expectUntouched()
  })

  it('the failure points to the APIMart console and a later run when there is no link', async () => {
    await using at = await studio()
    const remedy =
      'Look for the video in the task log at https://apimart.ai before you pay for a new one. If a link appears later, run this step again with the id below as task_id; this submits nothing and pays nothing.'
    const problems = ['APIMart returned no usable link to the video.']
    expect(await at.failure([])).toEqual({ problems, remedy })
    await at.expectUntouched()
    await expect(at.lookAt()).rejects.toMatchObject({ reason: 'download_failed', problems, remedy })
  })

  it('the failure shows a link without its signed query', async () => {
    await using at = await studio()
    const [problem = ''] = await at.problems([`${at.url('missing')}?X-Amz-Signature=5ec7e7`])
    expect(problem).toBe(failed(`/habit/missing/${FILE}?…`, 'its server answers 404 Not Found'))
  })

  it('the failure leaves out the expiry time of an expired link when that time has not come', async () => {
    await using at = await studio()
    expect(await at.problems([at.url('expired-link')], NOW + 1)).toEqual([
      failed(`/habit/expired-link/${FILE}`, 'its server answers 403 Forbidden, because the link has expired'),
    ])
  })
})

describe('the time limit', () => {
  it('the time limit ends the download of a video whose server sends very slowly', async () => {
    await using at = await studio({ result: 1000 })
    const says = failed(`/habit/slow-drip/${FILE}`, 'it did not arrive within 1 s')
    expect(await at.problems([at.url('slow-drip')])).toEqual([says])
    expect(at.asked()).toEqual(['all'])
  })

  it('the time limit applies to each link, so a slow link does not prevent the next one', async () => {
    await using at = await studio({ result: 1000 })
    const { url, stored } = await at.fetchFrom(at.url('slow-drip'), at.url())
    expect(url).toBe(at.url())
    expect(stored.equals(video)).toBe(true)
    expect(at.asked()).toEqual(['all', 'all'])
  })
})

describe('an output path that can no longer be written to', () => {
  it('the download fails before any request when the output folder has become a file', async () => {
    await using at = await studio()
    const output = await prepareOutput('assets/video.mp4', at.folder)
    await writeFile(`${at.folder}/assets`, 'mine')

    expect(await at.failure([at.url(), at.url('octet-stream')], LATER, output)).toEqual({
      problems: [failed(`/files/${FILE}`, 'it cannot be written (EEXIST)')],
      remedy: null,
    })
    expect(at.asked()).toEqual([])
  })

  it('the download fails without trying another link when the output path has become a folder', async () => {
    await using at = await studio()
    await rm(at.output.path)
    await mkdir(at.output.path)
    const { problems } = await at.failure([at.url(), at.url('octet-stream')])
    // Windows refuses it with another code.
    expect(problems).toEqual([
      expect.stringMatching(/result\.mp4 could not be downloaded: it cannot be written \(E\w+\)\.$/),
    ])
    expect(at.asked()).toEqual(['all'])
    expect(await readdir(at.folder)).toEqual(['video.mp4'])
  })
})

describe('a folder for the video', () => {
  it('the output folder is created when the video is fetched', async () => {
    await using at = await studio()
    const output = await prepareOutput('assets/new/video.mp4', at.folder)
    const round = await fetchVideo([{ url: at.url(), expiresAt: LATER }], output, at.context())
    expect(fileOf(videoOf(round)).path).toBe('assets/new/video.mp4')
    expect(video.equals(await readFile(output.path))).toBe(true)
    expect(await readdir(`${at.folder}/assets/new`)).toEqual(['video.mp4'])
  })
})

describe('a cancelled download', () => {
  const reason = new Failure('cancelled', ['The job was cancelled.'])

  it.each<[string, RequestListener]>([
    ['waiting for a response', () => {}],
    ['receiving a body', (_, response) => void response.writeHead(200).write(video)],
    ['retrying', status(503)],
    ['reading an error response', (_, response) => void response.writeHead(403).write('x')],
  ])('the download leaves no partial file when it is cancelled while %s', async (_, listener) => {
    await using at = await studio()
    const abort = new AbortController()
    await using server = await scripted((request, response) => {
      listener(request, response)
      setTimeout(() => abort.abort(reason), 10)
    })
    await expect(at.fetchUntil(abort.signal, server.url, at.url())).rejects.toBe(reason)
    await at.expectUntouched()
    expect(at.asked()).toEqual([])
  })

  it('the download leaves no file when it is cancelled after the last byte was sent', async () => {
    await using at = await studio()
    const abort = new AbortController()
    await using server = await scripted((_, response) => void response.end(video, () => abort.abort(reason)))
    await expect(at.fetchUntil(abort.signal, server.url)).rejects.toBe(reason)
    await at.expectUntouched()
  })

  it('a download and an inspection send no request when the run is already cancelled', async () => {
    await using at = await studio()
    await expect(at.fetchUntil(AbortSignal.abort(reason), at.url())).rejects.toBe(reason)
    await expect(at.lookUntil(AbortSignal.abort(reason), at.url())).rejects.toBe(reason)
    await at.expectUntouched()
    expect(at.asked()).toEqual([])
  })

  it('a cancelled inspection ends without trying the next link', async () => {
    await using at = await studio()
    const abort = new AbortController()
    setTimeout(() => abort.abort(reason), 50)
    await expect(at.lookUntil(abort.signal, at.url('silent'), at.url())).rejects.toBe(reason)
    expect(at.asked()).toHaveLength(1)
  })
})

describe('the inspection of the video', () => {
  const BIG = 5_000_000
  const HUGE = 2_000_000_000
  /** The bytes that the buffers of both sockets can contain without ever being read. */
  const BUFFERED = 16 * 2 ** 20

  it('the inspection reads a leading header with one range request', async () => {
    await using at = await studio()
    expect(await at.lookAt(at.url())).toMatchObject({
      link: { url: at.url() },
      trouble: null,
      seconds: 8.4,
      file: null,
    })
    expect(at.asked()).toEqual(['bytes=0-65535'])
    expect(at.bytesSent()).toEqual([65_536])
    await at.expectUntouched()
  })

  it('the inspection reads a trailing header with two range requests', async () => {
    await using at = await studio()
    const url = await at.sandbox.media.padClip('big.mp4', 'corpus/header-first.mp4', BIG, 'header-last')
    expect(await at.lookAt(url)).toMatchObject({ trouble: null, seconds: 5 })
    expect(at.asked()).toHaveLength(2)
    expect(at.asked()).not.toContain('all')
    expect(at.bytesSent().reduce((sum, bytes) => sum + bytes)).toBeLessThan(2 * 65_536)
    await at.expectUntouched()
  })

  it('the inspection reads a leading header, and little more, from a host without range support', async () => {
    await using at = await studio()
    await at.sandbox.media.padClip('huge.mp4', 'corpus/header-first.mp4', HUGE, 'header-first')
    const url = at.url('ignores-range', 'huge.mp4')
    expect(await at.lookAt(url)).toMatchObject({ link: { url }, trouble: null, seconds: 5 })
    expect(at.asked()).toEqual(['bytes=0-65535'])
    expect(at.bytesSent()[0]).toBeLessThan(BUFFERED)
  })

  it.each(['ignores-range', 'ignores-range-chunked'])(
    'the inspection does not download the whole file to find a trailing header (host habit: %s)',
    async (habit) => {
      await using at = await studio()
      await at.sandbox.media.padClip('huge.mp4', 'corpus/header-first.mp4', HUGE, 'header-last')
      const url = at.url(habit, 'huge.mp4')
      expect(await at.lookAt(url)).toEqual({
        link: { url, expiresAt: LATER },
        trouble: 'its server does not serve ranges',
        seconds: null,
        file: null,
      })
      expect(at.asked()).toHaveLength(2)
      expect(at.asked()).not.toContain('all')
      for (const bytes of at.bytesSent()) expect(bytes).toBeLessThan(BUFFERED)
      await at.expectUntouched()
    },
  )

  it('the inspection finds a trailing header when the host states no length', async () => {
    await using at = await studio()
    await at.sandbox.media.padClip('huge.mp4', 'corpus/header-first.mp4', HUGE, 'header-last')
    const url = at.url('no-length', 'huge.mp4')
    expect(await at.lookAt(url)).toMatchObject({ link: { url }, trouble: null, seconds: 5 })
    expect(at.asked()).toHaveLength(2)
    expect(at.asked()).not.toContain('all')
    expect(at.bytesSent().reduce((sum, bytes) => sum + bytes)).toBeLessThan(3 * 65_536)
    await at.expectUntouched()
  })

  it('the inspection reports a file without a header as cut off', async () => {
    await using at = await studio()
    const [ftyp, mdat] = [Buffer.from('\0\0\0\x10ftypisom\0\0\x02\0', 'latin1'), Buffer.alloc(100_000)]
    mdat.writeUInt32BE(mdat.length)
    mdat.write('mdat', 4)
    const url = at.sandbox.media.put('media-only.mp4', Buffer.concat([ftyp, mdat]))

    expect(await at.lookAt(url)).toMatchObject({ link: { url }, trouble: 'the video is cut off' })
  })

  it('the inspection tries the links in order until one serves a video', async () => {
    await using at = await studio()
    const urls = [at.url('missing'), at.url('html'), at.url('truncated'), at.url()]
    expect(await at.lookAt(...urls)).toMatchObject({
      link: { url: at.url() },
      trouble: null,
      seconds: 8.4,
      file: null,
    })
  })

  it.each([
    ['missing', FILE, 'its server answers 404 Not Found'],
    ['html', FILE, 'the URL serves an HTML page, not an mp4 or mov video'],
    ['empty', FILE, 'the URL serves an empty file, not an mp4 or mov video'],
    ['truncated', FILE, 'the video is cut off'],
    ['wrong-range', FILE, 'its server does not serve ranges'],
    ['gzip', FILE, 'its server sends a compressed version instead of the file itself'],
    ['expired-link', FILE, 'its server answers 403 Forbidden, because the link has expired'],
    ['octet-stream', 'corpus/audio-only.mp4', 'it has no video track'],
  ])(
    'the inspection returns the first link and its problem when no link serves a video (%s %s)',
    async (habit, path, trouble) => {
      await using at = await studio()
      const url = at.url(habit, path)
      expect(await at.lookAt(url, at.url('teapot'))).toEqual({
        link: { url, expiresAt: LATER },
        trouble,
        seconds: null,
        file: null,
      })
      await at.expectUntouched()
    },
  )

  it('the inspection has a time limit for each link', async () => {
    await using at = await studio({ read: 500 })
    expect(await at.lookAt(at.url('slow-drip'), at.url())).toMatchObject({
      link: { url: at.url() },
      seconds: 8.4,
    })
    expect(await at.lookAt(at.url('slow-drip'))).toMatchObject({ trouble: 'the server sent too slowly' })
  })

  it('the inspection accepts a fragmented video although its header cannot give its length', async () => {
    await using at = await studio()
    const url = at.url(undefined, 'corpus/fragmented.mp4')
    expect(await at.lookAt(url, at.url())).toMatchObject({ link: { url }, trouble: null, seconds: null })
    expect(at.asked()).toHaveLength(1)
  })
})
