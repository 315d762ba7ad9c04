/**
 * What surrounds a run: the facts of its job, and what its stages may use.
 */
import type { StepIdentity } from './apimart/request.ts'
import type { Capabilities } from './capabilities.ts'
import type { EventFile } from './github/release.ts'
import type { Commit } from './references/commit.ts'
import type { Reporter } from './report/reporter.ts'

/** Facts of the job: data, made once at the edge. */
export interface Job {
  readonly step: StepIdentity
  /** The attempt of the run, from 1. */
  readonly attempt: number
  /** Folder in which the job works. */
  readonly workspace: string
  /** Folder for temporary files; it need not exist. */
  readonly temp: string
  /** The commit that the run is about. */
  readonly commit: Commit
  /** Base URL of GitHub's API. */
  readonly githubApiUrl: string
  /** What started the run. */
  readonly event: EventFile
}

/** What a stage may use; each asks for the part that it needs, with `Pick`. */
export interface Context extends Capabilities {
  readonly job: Job
  readonly reporter: Reporter
}
