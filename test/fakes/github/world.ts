import type { Call } from './call.ts'
import { notFound, problem, Refusal } from './errors.ts'
import type { Faults } from './faults.ts'
import type { Addresses, Asset, Release } from './records.ts'

/** What there is on the stand-in; tests may change it while it is in use. */
export interface World extends Addresses {
  readonly token: string
  /** What the token may do with the contents of the repository. */
  permissions: 'write' | 'read'
  /** Whether nothing can be read without a login. */
  isPrivate: boolean
  /** The folder whose files are those of the commit. */
  root: string | null
  /** The one commit, 40 hexadecimal digits. */
  readonly sha: string
  /** Files of the commit that are in Git LFS, by their paths. */
  readonly lfs: Map<string, Uint8Array>
  /** Whether the raw address of such a file leads on to the file; otherwise it serves the pointer. */
  lfsRedirects: boolean
  readonly releases: readonly Release[]
  readonly faults: Faults
  /** Called when all bytes of an asset have arrived, before the answer. */
  onUpload: ((asset: Asset) => void) | null
  nextId(): number
}

/** Refuses who cannot log in, and hides a private repository from who does not. */
export function requireRead(world: World, call: Call): void {
  if (call.token !== null && call.token !== world.token) throw new Refusal(problem(401, 'Bad credentials'))
  if (world.isPrivate && call.token === null) throw notFound()
}

/** Whether the request comes from who may write. */
export function mayWrite(world: World, call: Call): boolean {
  return call.token === world.token && world.permissions === 'write'
}

/** Refuses who may not write. */
export function requireWrite(world: World, call: Call): void {
  requireRead(world, call)
  if (call.token === null) throw notFound()
  if (!mayWrite(world, call)) throw new Refusal(problem(403, 'Resource not accessible by integration'))
}
