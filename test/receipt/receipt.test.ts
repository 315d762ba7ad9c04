/**
 * The receipt as text: how it is written and read, and which changes since then are detected.
 */
import { mkdtempDisposable, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  changesSince,
  newReceipt,
  parseReceipt,
  type Receipt,
  renderReceipt,
  requestOf,
} from '../../src/receipt/receipt.ts'
import { identifyFile } from '../../src/references/identity.ts'
import { type Given, inputsWith } from '../harness/inputs.ts'
import { SAME, sha, soundReceipt } from '../harness/receipts.ts'

const text = fc.string({ unit: 'binary', maxLength: 40 })
const whole = fc.nat()
const amount = fc.double({ min: 0, max: 1e6, noNaN: true })
const sha256 = fc.stringMatching(/^[0-9a-f]{64}$/)
const instant = fc
  .date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true })
  .map((date) => date.toISOString())
const identity = fc.record({ source: text, bytes: whole, sha256 })
const receipts: fc.Arbitrary<Receipt> = fc
  .record({
    file: text,
    request: fc.record({
      model: text,
      prompt: text,
      character_orientation: text,
      mode: text,
      keep_original_sound: text,
      watermark: fc.boolean(),
    }),
    references: fc.option(fc.record({ image_url: identity, video_url: identity })),
    duration_seconds: fc.option(amount),
    idempotency_key: text,
    sent_at: instant,
    task: fc.option(
      fc.record({
        id: fc.stringMatching(/^task_[\dA-Z]{1,30}$/),
        status: fc.constantFrom('running', 'completed', 'failed', 'cancelled'),
        cost: fc.option(amount),
      }),
    ),
    result: fc.option(
      fc.record({
        bytes: whole,
        sha256,
        duration_seconds: fc.option(amount),
        url: fc.option(fc.webUrl()),
        expires_at: instant,
      }),
    ),
    made_by: fc.record({ repository: text, run_id: text, job: text, step: text }),
  })
  .map(newReceipt)

/** The same value with the keys of all its objects in the opposite order. */
function reversed(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, inner]) => [key, reversed(inner)]),
  )
}

describe('the text of a receipt', () => {
  it('the receipt has its keys in a fixed order and on separate lines', () => {
    expect(renderReceipt(soundReceipt())).toBe(`{
  "schema": "kling-motion-control-receipt",
  "version": 1,
  "file": "video.mp4",
  "request": {
    "model": "kling-v2-6-motion-control",
    "prompt": "",
    "character_orientation": "image",
    "mode": "std",
    "keep_original_sound": "yes",
    "watermark": false
  },
  "references": {
    "image_url": {
      "source": "https://example.com/ref-image.png",
      "bytes": 5,
      "sha256": "${sha('a')}"
    },
    "video_url": {
      "source": "https://example.com/ref-video-8s.mp4",
      "bytes": 7,
      "sha256": "${sha('b')}"
    }
  },
  "duration_seconds": 8.4,
  "idempotency_key": "kling-key",
  "sent_at": "2026-11-22T09:50:00.000Z",
  "task": {
    "id": "task_1",
    "status": "completed",
    "cost": 0.456
  },
  "result": {
    "bytes": 9,
    "sha256": "${sha('c')}",
    "duration_seconds": 8.4,
    "url": "https://cdn.example.com/video.mp4",
    "expires_at": "2026-11-23T10:00:00.000Z"
  },
  "made_by": {
    "repository": "octo/videos",
    "run_id": "4710",
    "job": "video",
    "step": "__octo_kling"
  }
}
`)
  })

  it('any receipt is read back exactly as it was written', () => {
    fc.assert(
      fc.property(receipts, (receipt) => {
        expect(parseReceipt(renderReceipt(receipt))).toEqual({ kind: 'read', receipt })
      }),
    )
  })

  it('the text of a receipt does not depend on the order in which its keys were set', () => {
    fc.assert(
      fc.property(receipts, (receipt) => {
        const other: Receipt = JSON.parse(JSON.stringify(reversed(receipt)))
        expect(Object.keys(other)[0]).not.toBe('schema')
        expect(renderReceipt(other)).toBe(renderReceipt(receipt))
      }),
    )
  })

  it('a receipt with Windows line endings is read like any other', () => {
    const written = renderReceipt(soundReceipt()).replaceAll('\n', '\r\n')
    expect(parseReceipt(written)).toEqual({ kind: 'read', receipt: soundReceipt() })
  })

  it('unknown keys of a receipt are dropped when it is read', () => {
    const more = (value: unknown): unknown => {
      if (typeof value !== 'object' || value === null) return value
      const inner = Object.entries(value).map(([key, one]) => [key, more(one)])
      return { note: { of: 'a later release' }, ...Object.fromEntries(inner) }
    }
    const found = parseReceipt(JSON.stringify(more(soundReceipt())))
    expect(found).toEqual({ kind: 'read', receipt: soundReceipt() })
  })

  it.each([2, 3, 1000])(
    'a receipt of version %i is recognized as newer, regardless of its other content',
    (version) => {
      const { schema } = soundReceipt()
      expect(parseReceipt(JSON.stringify({ schema, version }))).toEqual({ kind: 'newer', version })
      const whole = JSON.stringify({ ...soundReceipt(), version })
      expect(parseReceipt(whole)).toEqual({ kind: 'newer', version })
    },
  )
})

/** Every path in a receipt, each with a copy of the receipt in which its value is missing or wrong. */
function damages(): [path: string, wrong: 'missing' | 'wrong', text: string][] {
  const walk = (value: object, prefix: string, around: (inner: unknown) => unknown): typeof all =>
    Object.entries(value).flatMap(([key, inner]: [string, unknown]) => {
      const path = `${prefix}${key}`
      const { [key]: _, ...rest } = Object.fromEntries(Object.entries(value))
      const put = (other: unknown) => around({ ...rest, [key]: other })
      const isObject = typeof inner === 'object' && inner !== null
      const deeper = isObject ? walk(inner, `${path}.`, put) : []
      const other = isObject ? 'text' : {}
      const own: typeof all = [
        [path, 'missing', JSON.stringify(around(rest))],
        [path, 'wrong', JSON.stringify(put(other))],
      ]
      return [...own, ...deeper]
    })
  const all: [string, 'missing' | 'wrong', string][] = []
  return walk(soundReceipt(), '', (inner) => inner)
}

describe('a damaged receipt', () => {
  it.each(damages())('a receipt whose %s is %s is unreadable for that reason', (path, _, damaged) => {
    expect(parseReceipt(damaged)).toEqual({ kind: 'unreadable', why: `its ${path} is missing or wrong` })
  })

  it.each([
    ['empty', ''],
    ['cut off', renderReceipt(soundReceipt()).slice(0, 300)],
    ['left with a merge conflict', `<<<<<<< HEAD\n${renderReceipt(soundReceipt())}`],
    ['broken by an extra comma', renderReceipt(soundReceipt()).replace('"video.mp4",', '"video.mp4",,')],
    ['written twice in one file', renderReceipt(soundReceipt()).repeat(2)],
  ])('a receipt that is %s is unreadable because it is not JSON', (_, damaged) => {
    expect(parseReceipt(damaged)).toEqual({ kind: 'unreadable', why: 'it is not JSON' })
  })

  it.each(['null', '"receipt"', '1', 'true'])('the JSON value %s is not accepted as a receipt', (damaged) => {
    expect(parseReceipt(damaged)).toEqual({ kind: 'unreadable', why: 'it is not a receipt' })
  })

  it.each([
    ['schema', { schema: 'receipt' }],
    ['schema', { schema: 'receipt', version: 2 }],
    ['version', { version: 0 }],
    ['version', { version: '1' }],
    ['version', { version: 2.5 }],
    ['task.id', { task: { id: '', status: 'running', cost: null } }],
    ['task.id', { task: { id: '..', status: 'running', cost: null } }],
    ['task.id', { task: { id: 'task_1\n', status: 'running', cost: null } }],
    ['task.cost', { task: { id: 'task_1', status: 'running', cost: -1 } }],
    ['task.status', { task: { id: 'task_1', status: 'succeeded', cost: null } }],
    ['result.bytes', { result: { ...soundReceipt().result, bytes: 1.5 } }],
    ['result.bytes', { result: { ...soundReceipt().result, bytes: -1 } }],
    ['result.sha256', { result: { ...soundReceipt().result, sha256: sha('C') } }],
    ['result.url', { result: { ...soundReceipt().result, url: 'https://a.example/b?sig=1' } }],
    ['result.url', { result: { ...soundReceipt().result, url: 'file:///etc/passwd' } }],
    ['result.url', { result: { ...soundReceipt().result, url: 'video.mp4' } }],
    ['result.expires_at', { result: { ...soundReceipt().result, expires_at: 'tomorrow' } }],
  ])('a receipt with an invalid %s is unreadable for that reason: %j', (path, changes) => {
    const why = `its ${path} is missing or wrong`
    expect(parseReceipt(JSON.stringify({ ...soundReceipt(), ...changes }))).toEqual({
      kind: 'unreadable',
      why,
    })
  })
})

describe('the changes since the receipt', () => {
  const changes = (given: Given) => changesSince(soundReceipt(), requestOf(inputsWith(given)), SAME)

  it.each([
    ['model', 'kling-v3-motion-control'],
    ['prompt', 'She waves'],
    ['character_orientation', 'video'],
    ['mode', 'pro'],
    ['keep_original_sound', 'no'],
    ['watermark', 'true'],
  ])('a change of %s to %s is detected', (name, value) => {
    expect(changes({ [name]: value })).toEqual([name])
  })

  it.each([
    {},
    { keep_original_sound: 'true' },
    { image_url: 'https://example.com/another.png', video_url: 'assets/walk.mp4' },
    { api_key: 'sk-another-0123456789', idempotency_key: 'mine' },
    { preflight: 'off', wait: 'true', output_path: 'b/video.mp4', regenerate: 'always' },
    { price_per_second: '1', max_cost: '2' },
  ])('no change is detected when a step sets only %j', (given) => {
    expect(changes(given)).toEqual([])
  })

  it('all changes are listed in the order of the receipt', () => {
    const request = requestOf(inputsWith({ mode: 'pro', prompt: 'She waves' }))
    const now = { image: { bytes: 5, sha256: sha('x') }, clip: { bytes: 7, sha256: sha('y') } }
    expect(changesSince(soundReceipt(), request, now)).toEqual(['prompt', 'mode', 'image_url', 'video_url'])
  })

  it('both references count as changed when the receipt does not record them', () => {
    const receipt = soundReceipt({ references: null })
    expect(changesSince(receipt, receipt.request, SAME)).toEqual(['image_url', 'video_url'])
  })

  it.each(['image', 'clip'] as const)(
    'a change of the %s is detected by its bytes, not by its name, size or time',
    async (which) => {
      await using folder = await mkdtempDisposable(join(tmpdir(), 'kling-receipt-'))
      const path = join(folder.path, 'reference')
      const put = async (bytes: string) => {
        await writeFile(path, bytes)
        await utimes(path, 1e9, 1e9)
        return identifyFile(path)
      }
      const before = await put('walk on the spot')
      const references = {
        image_url: { source: 'a.png', ...(which === 'image' ? before : SAME.image) },
        video_url: { source: 'b.mp4', ...(which === 'clip' ? before : SAME.clip) },
      }
      const receipt = soundReceipt({ references })
      const changesWith = async (bytes: string) =>
        changesSince(receipt, receipt.request, { ...SAME, [which]: await put(bytes) })
      expect(await changesWith('walk on the shot')).toEqual([which === 'image' ? 'image_url' : 'video_url'])
      expect(await changesWith('walk on the spot')).toEqual([])
    },
  )
})
