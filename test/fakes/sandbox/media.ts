import { isAbsolute, join, relative } from 'node:path'
import type { Clock } from './clock.ts'
import type { Exchange } from './exchange.ts'
import { insteadOfFile, servingFile } from './habits.ts'
import { type Layout, paddedClip } from './padded-clip.ts'
import { serve } from './serve.ts'
import { bytesOf, contentTypeOf, fileSource, memorySource, type Source } from './source.ts'

interface Entry {
  readonly source: Source
  /** Milliseconds on the sandbox's clock. */
  readonly expiresAt: number
}

/** A media host: it serves the files of its roots and entries in memory, each with any habit. */
export class MediaHost {
  readonly origin: string
  #roots: readonly string[]
  #clock: Clock
  #entries = new Map<string, Entry>()
  #visits = new Map<string, number>()

  constructor(origin: string, roots: readonly string[], clock: Clock) {
    this.origin = origin
    this.#roots = roots
    this.#clock = clock
  }

  /** The number of entries in memory. */
  get entries(): number {
    return this.#entries.size
  }

  /** The URL of `/files/<path>`, or of the same file with a habit. */
  url(path: string, habit?: string): string {
    return new URL(habit === undefined ? `/files/${path}` : `/habit/${habit}/${path}`, this.origin).href
  }

  /** Puts bytes at `/files/<path>`; returns their URL. `lifetime` is in milliseconds on the sandbox's clock. */
  put(
    path: string,
    bytes: Uint8Array,
    { contentType = contentTypeOf(path), lifetime = Infinity } = {},
  ): string {
    this.#entries.set(path, {
      source: memorySource(bytes, contentType),
      expiresAt: this.#clock.now() + lifetime,
    })
    return this.url(path)
  }

  /** Puts a clip of `totalBytes` at `/files/<path>`, see `paddedClip`; `clip` is a path on this host or an absolute path. */
  async padClip(path: string, clip: string, totalBytes: number, layout: Layout): Promise<string> {
    const source = isAbsolute(clip) ? await fileSource(clip) : await this.find(clip)
    if (source === undefined) throw new Error(`no such clip: ${clip}`)
    const padded = paddedClip(await bytesOf(source), totalBytes, layout)
    this.#entries.set(path, { source: padded, expiresAt: Infinity })
    return this.url(path)
  }

  /** The source that is served at `/files/<path>`. */
  async find(path: string): Promise<Source | undefined> {
    const entry = this.#entries.get(path)
    if (entry !== undefined) return this.#clock.now() < entry.expiresAt ? entry.source : undefined
    for (const root of this.#roots) {
      const file = join(root, path)
      const outside = relative(root, file).startsWith('..')
      const source = outside ? undefined : await fileSource(file)
      if (source !== undefined) return source
    }
    return undefined
  }

  /** Responds to a request: `/files/<path>` correctly, `/habit/<habit>/<path>` with that habit. */
  async answer(exchange: Exchange): Promise<void> {
    const { pathname } = exchange.url
    const visits = (this.#visits.get(pathname) ?? 0) + 1
    this.#visits.set(pathname, visits)
    if (!['GET', 'HEAD'].includes(exchange.record.method)) return exchange.send(405, { allow: 'GET, HEAD' })
    const [, kind, first = '', ...rest] = decodeURIComponent(pathname).split('/')
    if (kind === 'files') {
      const source = await this.find([first, ...rest].join('/'))
      return source === undefined ? missing(exchange) : serve(exchange, source)
    }
    const [, habit = first, parameter = 0] = /^(latency)-(\d+)$/.exec(first) ?? []
    const path = rest.join('/')
    const visit = { exchange, path, visits, parameter: Number(parameter), url: this.url.bind(this) }
    if (kind === 'habit' && Object.hasOwn(insteadOfFile, habit)) return insteadOfFile[habit]?.(visit)
    const source = kind === 'habit' && Object.hasOwn(servingFile, habit) ? await this.find(path) : undefined
    return source === undefined ? missing(exchange) : servingFile[habit]?.(visit, source)
  }
}

function missing(exchange: Exchange): Promise<void> {
  return exchange.send(404, { 'content-type': 'text/plain; charset=utf-8' }, 'Not found\n')
}
