/**
 * Checks whether a step leaked a secret: searches everything it printed, wrote or requested for the secret in any form.
 */
import { subscribe } from 'node:diagnostics_channel'
import { open, readdir } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'

/** Shorter secrets also occur inside ordinary words. */
const SECRET_MIN_CHARACTERS = 6
/** How many bytes of a file or a request are searched. */
const SEARCHED_BYTES = 1024 * 1024

/** The form in which a text contains a secret, or null. */
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

/** Undoes the escapes of URLs, JSON and HTML. */
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

/** The base64 digits that do not depend on the surrounding bytes, if `before` bytes of a group come first. */
function base64Within(bytes: Buffer, before: number): string {
  const whole = Math.floor((before + bytes.length) / 3) * 3 - before
  const start = (3 - before) % 3
  return bytes.subarray(start, whole).toString('base64')
}

/** A value that a step must keep secret, and the hosts that may receive it. */
export interface Secret {
  readonly name: string
  readonly value: string
  /** How many commands ask the runner to mask it. */
  readonly masks: number
  /** Each `host:port` that may receive it as authorization. */
  readonly hosts: readonly string[]
}

/** Throws if a secret is in the log, in a file of these folders, or in a request to a host that must not receive it. */
export async function expectKept(
  secrets: readonly Secret[],
  log: string,
  folders: readonly string[],
): Promise<void> {
  const lines = log.split(/\r?\n/)
  const isMask = (line: string, { value }: Secret) => line === `::add-mask::${escapeData(value)}`
  const rest = lines.filter((line) => !secrets.some((secret) => isMask(line, secret)))
  const found = [...findSecrets(rest.join('\n'), 'the log', secrets), ...leaks.splice(0)]
  for (const secret of secrets) {
    const count = lines.filter((line) => isMask(line, secret)).length
    // A step that was killed right away printed nothing.
    if (log !== '' && count !== secret.masks) {
      found.push(`${secret.name} is masked ${count} times instead of ${secret.masks}`)
    }
  }
  for (const folder of folders) found.push(...(await searchFolder(folder, secrets)))
  expectNothing(found)
}

/** Throws if a file below this folder contains a secret of any step so far. */
export async function expectKeptIn(folder: string): Promise<void> {
  expectNothing(
    await searchFolder(
      folder,
      Array.from(known, ([value, { name }]) => ({ name, value })),
    ),
  )
}

function expectNothing(found: readonly string[]): void {
  if (found.length > 0) throw new Error(`The step leaked a secret: ${found.join('; ')}`)
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

/** Escapes a text the way the toolkit does in a command. */
function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

async function beginningOf(path: string): Promise<string> {
  await using file = await open(path)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(SEARCHED_BYTES), 0, SEARCHED_BYTES)
  return buffer.toString('latin1', 0, bytesRead)
}

/** The secrets of all steps so far, by value. */
const known = new Map<string, { name: string; hosts: Set<string> }>()
/** Secrets found in requests, collected until a step ends. */
const leaks: string[] = []

/** Searches every later request to a server of this process for these secrets. */
export function watchFor(secrets: readonly Omit<Secret, 'masks'>[]): void {
  for (const { name, value, hosts } of secrets) {
    const { hosts: before = [] } = known.get(value) ?? {}
    known.set(value, { name, hosts: new Set([...before, ...hosts]) })
  }
}

subscribe('http.server.request.start', (message) => {
  const { request } = message as { request: IncomingMessage }
  const { method, url = '', rawHeaders } = request
  // A request to a proxy contains the full URL.
  const target = URL.parse(url.startsWith('/') ? `http://${request.headers.host}${url}` : url)
  const where = `the request ${method} ${target?.host}${target?.pathname}`
  for (const [value, { name, hosts }] of known) {
    const isFor = hosts.has(target?.host ?? '')
    const shown = rawHeaders.filter((_, i) => {
      const isValue = i % 2 === 1
      return !(isFor && isValue && /^authorization$/i.test(rawHeaders[i - 1] ?? ''))
    })
    const form = findSecret([url, ...shown].join('\n'), value)
    if (form !== null) leaks.push(`${name} ${form} in the head of ${where}`)
  }
  // The reader of the body still receives all of it.
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
        if (form !== null) leaks.push(`${name} ${form} in the body of ${where}`)
      }
    }
    return push(chunk, encoding)
  }
})
