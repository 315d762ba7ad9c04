/**
 * Whether a secret has left a step: what it printed, wrote and asked is searched, in whatever form.
 */
import { subscribe } from 'node:diagnostics_channel'
import { open, readdir } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'

/** Shorter secrets stand in other words. */
const SECRET_MIN_CHARACTERS = 6
/** How much of a file or of a request is searched. */
const SEARCHED_BYTES = 1024 * 1024

/** How a secret stands in a text, null when it does not. */
export function findSecret(text: string, secret: string): string | null {
  if (secret.length < SECRET_MIN_CHARACTERS) return null
  if (text.includes(secret)) return 'as it is'
  const [once, plain] = [decode(text), decode(secret)]
  if ([once, decode(once)].some((text) => text.includes(secret) || text.includes(plain))) return 'escaped'
  const bytes = Buffer.from(secret)
  if (text.toLowerCase().includes(bytes.toString('hex'))) return 'in hexadecimal'
  const standard = text.replaceAll('-', '+').replaceAll('_', '/')
  return [0, 1, 2].some((before) => standard.includes(base64Within(bytes, before))) ? 'in base64' : null
}

/** Undoes the escapes of addresses, JSON and HTML. */
function decode(text: string): string {
  const character = (code: string) => String.fromCharCode(Number.parseInt(code, 16))
  return text
    .replace(/%([0-9a-f]{2})/gi, (_, code) => character(code))
    .replace(/&#x([0-9a-f]{1,4});/gi, (_, code) => character(code))
    .replace(/&#(\d{1,5});/g, (_, code) => String.fromCharCode(Number(code)))
    .replace(/&(amp|lt|gt|quot|apos);/g, (_, name) => ENTITIES[name] ?? '')
    .replace(/\\(?:u([0-9a-f]{4})|(["'\\/|]))/gi, (_, code, sign) => sign ?? character(code))
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** The digits of base64 that are the same whatever stands around, when `before` bytes of a group come first. */
function base64Within(bytes: Buffer, before: number): string {
  const whole = Math.floor((before + bytes.length) / 3) * 3 - before
  const start = (3 - before) % 3
  return bytes.subarray(start, whole).toString('base64')
}

/** What a step must keep, and to whom it may tell it. */
export interface Secret {
  readonly name: string
  readonly value: string
  /** How often the runner is told to mask it. */
  readonly masks: number
  /** `host:port` that may get it as authorization. */
  readonly hosts: readonly string[]
}

/** Throws when a secret is in what a step printed, in the files of these folders, or in a request to whom it is not for. */
export async function expectKept(
  secrets: readonly Secret[],
  log: string,
  folders: readonly string[],
): Promise<void> {
  const lines = log.split(/\r?\n/)
  const isMask = (line: string, { value }: Secret) => line === `::add-mask::${escapeData(value)}`
  const rest = lines.filter((line) => !secrets.some((secret) => isMask(line, secret)))
  const found = [...findSecrets(rest.join('\n'), 'the log', secrets), ...told.splice(0)]
  for (const secret of secrets) {
    const count = lines.filter((line) => isMask(line, secret)).length
    // A step that was killed at once has said nothing.
    if (log !== '' && count !== secret.masks) {
      found.push(`${secret.name} is masked ${count} times instead of ${secret.masks}`)
    }
  }
  for (const folder of folders) found.push(...(await searchFolder(folder, secrets)))
  expectNothing(found)
}

/** Throws when a file below this folder holds a secret of any step so far. */
export async function expectKeptIn(folder: string): Promise<void> {
  expectNothing(
    await searchFolder(
      folder,
      Array.from(known, ([value, { name }]) => ({ name, value })),
    ),
  )
}

function expectNothing(found: readonly string[]): void {
  if (found.length > 0) throw new Error(`What a step must keep has left it: ${found.join('; ')}`)
}

async function searchFolder(folder: string, secrets: Named): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    found.push(...findSecrets(entry.name, `the name of ${path}`, secrets))
    if (entry.isFile()) found.push(...findSecrets(await beginningOf(path), path, secrets))
  }
  return found
}

type Named = readonly Pick<Secret, 'name' | 'value'>[]

function findSecrets(text: string, where: string, secrets: Named): string[] {
  return secrets.flatMap(({ name, value }) => {
    const form = findSecret(text, value)
    return form === null ? [] : [`${name} ${form} in ${where}`]
  })
}

/** As the toolkit writes what stands in a command. */
function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

async function beginningOf(path: string): Promise<string> {
  await using file = await open(path)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(SEARCHED_BYTES), 0, SEARCHED_BYTES)
  return buffer.toString('latin1', 0, bytesRead)
}

/** By their values, the secrets of all steps so far. */
const known = new Map<string, { name: string; hosts: Set<string> }>()
/** Requests that told one to whom it is not for, each until a step has ended. */
const told: string[] = []

/** From now on, every request to a server of this process is searched for these secrets. */
export function watchFor(secrets: readonly Omit<Secret, 'masks'>[]): void {
  for (const { name, value, hosts } of secrets) {
    const { hosts: before = [] } = known.get(value) ?? {}
    known.set(value, { name, hosts: new Set([...before, ...hosts]) })
  }
}

subscribe('http.server.request.start', (message) => {
  const { request } = message as { request: IncomingMessage }
  const { method, url = '', rawHeaders } = request
  // A proxy is asked for a whole address.
  const target = URL.parse(url.startsWith('/') ? `http://${request.headers.host}${url}` : url)
  const where = `the request ${method} ${target?.host}${target?.pathname}`
  for (const [value, { name, hosts }] of known) {
    const isFor = hosts.has(target?.host ?? '')
    const shown = rawHeaders.filter((_, i) => {
      const isValue = i % 2 === 1
      return !(isFor && isValue && /^authorization$/i.test(rawHeaders[i - 1] ?? ''))
    })
    const form = findSecret([url, ...shown].join('\n'), value)
    if (form !== null) told.push(`${name} ${form} in the head of ${where}`)
  }
  // Whoever reads the body gets it all the same.
  const chunks: Buffer[] = []
  let length = 0
  const push = request.push.bind(request)
  request.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
    if (chunk !== null && length < SEARCHED_BYTES) chunks.push(chunk)
    length += chunk?.length ?? 0
    if (chunk === null) {
      const text = Buffer.concat(chunks).toString('latin1')
      for (const [value, { name }] of known) {
        const form = findSecret(text, value)
        if (form !== null) told.push(`${name} ${form} in the body of ${where}`)
      }
    }
    return push(chunk, encoding)
  }
})
