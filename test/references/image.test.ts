/**
 * The facts of the reference image, and the messages for images without readable facts.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { type Network, openNetwork, TIMEOUTS } from '../../src/network/network.ts'
import { readImage } from '../../src/references/image.ts'
import { remoteReference } from '../../src/references/reference.ts'
import { type Sandbox, startSandbox } from '../fakes/sandbox/server.ts'

const IMAGES = join(import.meta.dirname, '../media/images')
const names = readdirSync(IMAGES).filter((name) => !name.endsWith('.py'))
const bytesOf = (name: string) => readFileSync(join(IMAGES, name))

let sandbox: Sandbox
let network: Network
let folder: string

beforeAll(async () => {
  sandbox = await startSandbox()
  network = openNetwork(new URL(sandbox.apiUrl), TIMEOUTS)
  folder = await mkdtemp(join(tmpdir(), 'image-'))
})
afterAll(async () => {
  await network[Symbol.asyncDispose]()
  await sandbox.close()
  await rm(folder, { recursive: true, force: true })
})

/** The facts of the image at a URL, or the message that refuses it. */
async function read(url: string) {
  try {
    return await readImage(
      { kind: 'web', reference: remoteReference('image_url', url, 10 * 2 ** 20) },
      { network, folder, signal: new AbortController().signal },
    )
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return `${error.reason}: ${error.message.replace(sandbox.mediaUrl, '…')}`
  }
}

/** The same for bytes. */
const readBytes = (bytes: Uint8Array) => read(sandbox.media.put('image', bytes))

/** The number of requests for this file. */
const requestsFor = (name: string) => sandbox.requests.filter(({ url }) => url.endsWith(`/${name}`)).length

describe('the committed images', () => {
  const facts: Record<string, object | string> = {
    'edge.png': { format: 'png', width: 1000, height: 400, bytes: 2507 },
    'late-sof.jpg': { format: 'jpeg', width: 600, height: 800, bytes: 127_754 },
    'ok.jpg': { format: 'jpeg', width: 600, height: 800, bytes: 7746 },
    'ok.png': { format: 'png', width: 600, height: 800, bytes: 3373 },
    'pic.gif':
      'reference_rejected: image_url …/files/images/pic.gif is actually a file of type GIF. Convert the image to jpeg or png.',
    // The stored size; the EXIF orientation rotates it, which does not affect the allowed sides and ratios.
    'rotated.jpg': { format: 'jpeg', width: 800, height: 600, bytes: 12_217 },
    'small-side.png': { format: 'png', width: 299, height: 600, bytes: 1753 },
    'svg.svg':
      'reference_rejected: image_url …/files/images/svg.svg is an SVG drawing, not a jpeg or png file. Convert the image to jpeg or png.',
    'tall.png': { format: 'png', width: 400, height: 1040, bytes: 3214 },
    'webp.webp':
      'reference_rejected: image_url …/files/images/webp.webp is actually a file of type WEBP. Convert the image to jpeg or png.',
    'wide.png': { format: 'png', width: 1040, height: 400, bytes: 2559 },
  }

  it.each(names)('the file %s yields its image facts or the reason for its refusal', async (name) => {
    expect(await read(sandbox.media.url(`images/${name}`))).toEqual(facts[name])
  })

  it.each(names.filter((name) => name !== 'late-sof.jpg'))(
    'the file %s is read with one request',
    async (name) => {
      await read(sandbox.media.url(`images/${name}`, 'octet-stream'))
      expect(requestsFor(`octet-stream/images/${name}`)).toBe(1)
    },
  )

  it('the file late-sof.jpg is read with two requests', async () => {
    await read(sandbox.media.url('images/late-sof.jpg', 'octet-stream'))
    expect(requestsFor('octet-stream/images/late-sof.jpg')).toBe(2)
  })

  it.each(['ignores-range', 'ignores-range-chunked', 'no-length', 'redirects'])(
    'the image facts are the same from a host with the habit %s',
    async (habit) => {
      for (const name of ['ok.png', 'late-sof.jpg']) {
        expect(await read(sandbox.media.url(`images/${name}`, habit))).toEqual(facts[name])
      }
    },
  )
})

describe('damaged images', () => {
  it('a damaged image without a readable size is refused', async () => {
    const refused = await Promise.all([
      read(sandbox.media.put('cut.png', bytesOf('ok.png').subarray(0, 20))),
      read(sandbox.media.put('cut.jpg', bytesOf('ok.jpg').subarray(0, 100))),
      read(sandbox.media.put('late.jpg', bytesOf('late-sof.jpg').subarray(0, 100_000))),
    ])
    expect(refused.join('\n')).toMatchInlineSnapshot(`
      "reference_rejected: image_url …/files/cut.png cannot be used: its width and height cannot be read. It may be a damaged or unusual png file. Save the image again.
      reference_rejected: image_url …/files/cut.jpg cannot be used: its width and height cannot be read. It may be a damaged or unusual jpeg file. Save the image again.
      reference_rejected: image_url …/files/late.jpg cannot be used: its width and height cannot be read. It may be a damaged or unusual jpeg file. Save the image again."
    `)
  })

  it('a JPEG of more than 11 MiB without a size is refused after at most three requests', async () => {
    const segment = Buffer.concat([Buffer.from([0xff, 0xef, 0xea, 0x62]), Buffer.alloc(60_000)])
    const endless = Buffer.concat([bytesOf('ok.jpg').subarray(0, 20), ...Array(200).fill(segment)])
    expect(endless.length).toBeGreaterThan(11 * 1024 * 1024)
    expect(await read(sandbox.media.put('endless.jpg', endless))).toMatch(
      /^reference_rejected: .*damaged or unusual jpeg/,
    )
    expect(requestsFor('endless.jpg')).toBeLessThanOrEqual(3)
  })

  const part = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  const damages = fc.array(fc.tuple(part, fc.nat(255)), { maxLength: 8 })

  it.each(['ok.png', 'ok.jpg', 'rotated.jpg'])(
    'a damaged %s yields either valid facts or a reason for its refusal',
    async (name) => {
      const original = bytesOf(name)
      // Half of the damage hits the first 64 bytes, which contain the size.
      const property = fc.asyncProperty(damages, damages, part, async (early, anywhere, length) => {
        const bytes = Buffer.from(original)
        for (const [place, value] of early) bytes[Math.floor(place * 64)] = value
        for (const [place, value] of anywhere) bytes[Math.floor(place * bytes.length)] = value
        const end = length < 0.5 ? bytes.length : Math.floor((length - 0.5) * 2 * bytes.length)
        const found = await readBytes(bytes.subarray(0, end))
        if (typeof found === 'string')
          expect(found).toMatch(/^reference_(rejected|unreachable): image_url .+\.$/)
        else expect([found.width, found.height, found.bytes].every(Number.isSafeInteger)).toBe(true)
      })
      await fc.assert(property, { numRuns: 100 })
    },
  )
})
