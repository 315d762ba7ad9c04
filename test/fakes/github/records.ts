import { createHash } from 'node:crypto'

/** The URLs of the stand-in, without trailing slashes. */
export interface Addresses {
  readonly apiUrl: string
  readonly uploadsUrl: string
  readonly serverUrl: string
  /** `OWNER/NAME` */
  readonly repository: string
}

export interface NewRelease {
  readonly tag: string
  readonly draft?: boolean
  readonly prerelease?: boolean
  /** Takes effect when the release is published. */
  readonly immutable?: boolean
}

export interface NewAsset {
  readonly name: string
  readonly bytes: Uint8Array
  /** Default `uploaded`; a `starter` has no bytes. */
  readonly state?: AssetState
  readonly contentType?: string
  readonly label?: string
}

/** `starter` until all bytes have arrived. */
export type AssetState = 'uploaded' | 'starter'

const UPLOADER = { login: 'github-actions[bot]', id: 41_898_282, type: 'Bot', site_admin: false }

/** A release; tests may publish or unpublish it while it is in use. */
export class Release {
  readonly id: number
  readonly tag_name: string
  draft: boolean
  prerelease: boolean
  immutable: boolean
  readonly created_at = now()
  readonly assets: Asset[] = []
  /** The assets after each change, each with name, state and size. */
  readonly history: string[][] = []
  readonly addresses: Addresses

  constructor(addresses: Addresses, id: number, { tag, draft, prerelease, immutable }: NewRelease) {
    this.addresses = addresses
    this.id = id
    this.tag_name = tag
    this.draft = draft ?? false
    this.prerelease = prerelease ?? false
    this.immutable = immutable ?? false
  }

  /** Whether its assets can no longer change. */
  get locked(): boolean {
    return this.immutable && !this.draft
  }

  /** The tag in URLs; the tag of a draft need not exist yet. */
  get place(): string {
    if (!this.draft) return encodeURIComponent(this.tag_name)
    return `untagged-${createHash('sha1').update(String(this.id)).digest('hex').slice(0, 20)}`
  }

  get url(): string {
    return `${this.addresses.apiUrl}/repos/${this.addresses.repository}/releases/${this.id}`
  }

  get html_url(): string {
    return `${this.addresses.serverUrl}/${this.addresses.repository}/releases/tag/${this.place}`
  }

  get upload_url(): string {
    const { uploadsUrl, repository } = this.addresses
    return `${uploadsUrl}/repos/${repository}/releases/${this.id}/assets{?name,label}`
  }

  /** The asset with this name, in any state. */
  asset(name: string): Asset | undefined {
    return this.assets.find((asset) => asset.name === name)
  }

  add(asset: Asset): void {
    this.assets.push(asset)
    this.note()
  }

  remove(asset: Asset): void {
    const index = this.assets.indexOf(asset)
    if (index !== -1) this.assets.splice(index, 1)
    this.note()
  }

  /** Call this after each change of an asset. */
  note(): void {
    this.history.push(this.assets.map(({ name, state, size }) => `${name} ${state} ${size}`))
  }

  toJSON() {
    const { id, tag_name, draft, prerelease, created_at, url, html_url, upload_url } = this
    return {
      url,
      assets_url: `${url}/assets`,
      upload_url,
      html_url,
      id,
      author: UPLOADER,
      node_id: nodeId('RE', id),
      tag_name,
      target_commitish: 'main',
      name: tag_name,
      draft,
      immutable: this.locked,
      prerelease,
      created_at,
      published_at: draft ? null : created_at,
      assets: this.assets.map((asset) => asset.toJSON()),
      body: '',
    }
  }
}

export class Asset {
  readonly release: Release
  readonly id: number
  name: string
  label: string
  readonly content_type: string
  state: AssetState = 'starter'
  size = 0
  digest: string | null = null
  download_count = 0
  readonly created_at = now()
  updated_at = this.created_at
  /** Null for a starter, or if there were too many bytes to keep. */
  bytes: Uint8Array | null = null

  constructor(release: Release, id: number, name: string, contentType: string, label: string) {
    this.release = release
    this.id = id
    this.name = name
    this.content_type = contentType
    this.label = label
  }

  get url(): string {
    const { apiUrl, repository } = this.release.addresses
    return `${apiUrl}/repos/${repository}/releases/assets/${this.id}`
  }

  get browser_download_url(): string {
    const { serverUrl, repository } = this.release.addresses
    return `${serverUrl}/${repository}/releases/download/${this.release.place}/${encodeURIComponent(this.name)}`
  }

  /** Marks all bytes as received; `sha256` is hexadecimal. */
  complete(size: number, sha256: string, bytes: Uint8Array | null): void {
    this.state = 'uploaded'
    this.size = size
    this.digest = `sha256:${sha256}`
    this.bytes = bytes
    this.updated_at = now()
    this.release.note()
  }

  rename(name: string, label: string): void {
    this.name = name
    this.label = label
    this.updated_at = now()
    this.release.note()
  }

  toJSON() {
    const { url, id, name, label, state, content_type, size, digest, download_count } = this
    const { created_at, updated_at, browser_download_url } = this
    return {
      url,
      id,
      node_id: nodeId('RA', id),
      name,
      label,
      uploader: UPLOADER,
      content_type,
      state,
      size,
      digest,
      download_count,
      created_at,
      updated_at,
      browser_download_url,
    }
  }
}

/**
 * Renames a file as GitHub does. The documentation says only that GitHub renames special characters and leading or
 * trailing periods, not the exact rule. Users report that spaces, parentheses, colons and tildes become periods, and
 * that `.config` becomes `default.config`.
 */
export function assetName(given: string): string {
  const plain = given
    .replace(/[^A-Za-z0-9._+@-]+/g, '.')
    .replace(/\.{2,}/g, '.')
    .replace(/\.$/, '')
  return plain.startsWith('.') ? `default${plain}` : plain
}

function nodeId(kind: string, id: number): string {
  return `${kind}_${Buffer.from(`${kind}:${id}`).toString('base64url')}`
}

function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z')
}
