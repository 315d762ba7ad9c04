import type { Call } from './call.ts'
import { notFound, problem, Refusal } from './errors.ts'
import type { Faults } from './faults.ts'
import type { Addresses, Asset, Release } from './records.ts'

/** The content of the stand-in; tests may change it while it is in use. */
export interface World extends Addresses {
  readonly token: string
  /** The token's permission for the contents of the repository. */
  permissions: 'write' | 'read'
  /** Whether reading requires a login. */
  isPrivate: boolean
  /** The folder with the files of the commit. */
  root: string | null
  /** The one commit, 40 hexadecimal digits. */
  readonly sha: string
  /** Files of the commit that are in Git LFS, by their paths. */
  readonly lfs: Map<string, Uint8Array>
  /** Whether the raw URL of such a file redirects to the file; otherwise it serves the pointer. */
  lfsRedirects: boolean
  readonly releases: readonly Release[]
  readonly faults: Faults
  /** Called when all bytes of an asset have arrived, before the response. */
  onUpload: ((asset: Asset) => void) | null
  nextId(): number
}

/** Refuses a wrong token, and hides a private repository from requests without a token. */
export function requireRead(world: World, call: Call): void {
  if (call.token !== null && call.token !== world.token) throw new Refusal(problem(401, 'Bad credentials'))
  if (world.isPrivate && call.token === null) throw notFound()
}

/** Whether the request has write permission. */
export function mayWrite(world: World, call: Call): boolean {
  return call.token === world.token && world.permissions === 'write'
}

/** Refuses requests without write permission. */
export function requireWrite(world: World, call: Call): void {
  requireRead(world, call)
  if (call.token === null) throw notFound()
  if (!mayWrite(world, call)) throw new Refusal(problem(403, 'Resource not accessible by integration'))
}
