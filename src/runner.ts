/**
 * The runner around a run, as far as a run knows it.
 */
import type { StepIdentity } from './apimart/request.ts'
import type { Clock } from './clock.ts'
import type { InputName } from './inputs/inputs.ts'
import type { Timeouts } from './network/network.ts'
import type { Commit } from './references/commit.ts'

/** The outputs of the action, in the order of action.yml. */
export type OutputName =
  | 'task_id'
  | 'status'
  | 'duration_seconds'
  | 'estimated_cost'
  | 'cost'
  | 'result_url'
  | 'result_expires_at'
  | 'result_path'
  | 'result_sha256'
  | 'release_asset_url'
  | 'failure_reason'

/** Where a run gets its inputs, time, chance, limits and end from, and where it tells what happens. */
export interface Runner {
  readonly step: StepIdentity
  /** How often the job was run, this time included; from 1. */
  readonly attempt: number
  /** Folder in which the job works. */
  readonly workspace: string
  /** Folder for what is needed only meanwhile; it need not exist. */
  readonly temp: string
  /** The commit that the run is about. */
  readonly commit: Commit
  /** Address of GitHub's API. */
  readonly githubApiUrl: string
  /** What started the run; its payload as it came, null without one. */
  readonly readEvent: () => Promise<{ name: string; payload: unknown }>
  readonly clock: Clock
  /** Chance, from 0 to 1, evenly. */
  readonly random: () => number
  /** How long each part of a request may take. */
  readonly timeouts: Timeouts
  /** Stops the run; its reason is the Failure that it ends with. */
  readonly signal: AbortSignal
  readonly readInput: (name: InputName) => string
  /** Never throws: an output that cannot be written must not hide how the run ends. */
  readonly setOutput: (name: OutputName, value: string) => void
  readonly info: (line: string) => void
  readonly warning: (text: string) => void
  readonly group: <T>(title: string, phase: () => Promise<T>) => Promise<T>
}
