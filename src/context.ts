/**
 * The context of a run: the facts of its job, and what its stages may use.
 */
import type { StepIdentity } from './apimart/request.ts'
import type { Capabilities } from './capabilities.ts'
import type { EventFile } from './github/release.ts'
import type { Commit } from './references/commit.ts'
import type { Reporter } from './report/reporter.ts'

/** Facts of the job: plain data, created once at the edge. */
export interface Job {
  readonly step: StepIdentity
  /** Whether the runner identifies its runs. Otherwise, `step.runId` is random. */
  readonly isIdentified: boolean
  /** The attempt of the run, starting at 1; null if the runner does not name it. */
  readonly attempt: number | null
  /** The job's working folder. */
  readonly workspace: string
  /** Folder for temporary files; it may not exist yet. */
  readonly temp: string
  /** The commit that the run was started for. */
  readonly commit: Commit
  /** Base URL of GitHub's API. */
  readonly githubApiUrl: string
  /** What started the run. */
  readonly event: EventFile
}

/** Everything a stage may use. Each stage takes only the part it needs, with `Pick`. */
export interface Context extends Capabilities {
  readonly job: Job
  readonly reporter: Reporter
}
