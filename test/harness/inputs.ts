/**
 * Valid inputs, so a test or a demo states only what matters to it.
 */
import { Failure } from '../../src/failure.ts'
import {
  type ExistingTaskInputs,
  type InputName,
  type NewTaskInputs,
  readInputs,
} from '../../src/inputs/inputs.ts'
import type { Sandbox } from '../fakes/sandbox/server.ts'
import { GITHUB_TOKEN, readAction } from './action.ts'

const action = await readAction()

export type Given = Partial<Record<InputName, string>>

/** The inputs that every step must set. */
export const NEEDED: Given & { readonly api_key: string } = {
  api_key: 'sk-0123456789abcdef',
  image_url: 'https://example.com/ref-image.png',
  video_url: 'https://example.com/ref-video-8s.mp4',
  character_orientation: 'image',
}

/** The inputs of a step that sets these besides the required ones; the rest are the defaults of action.yml. */
export function inputsWith(given: Given = {}): NewTaskInputs {
  const inputs = read({ ...NEEDED, ...given })
  if (inputs.task_id !== null) throw new Error('these are the inputs of an existing task')
  return inputs
}

/** The inputs of a step that waits for a task and sets only these; the rest are the defaults of action.yml. */
export function inputsOfTask(task_id: string, given: Given = {}): ExistingTaskInputs {
  const inputs = read({ api_key: NEEDED.api_key, ...given, task_id })
  if (inputs.task_id === null) throw new Error('these are the inputs of a new task')
  return inputs
}

function read(given: Given) {
  return readInputs(
    (name) => given[name] ?? action.inputs[name]?.default?.replace('${{ github.token }}', GITHUB_TOKEN) ?? '',
    {},
  )
}

/** The problems reported for such inputs. */
export function problemsOf(given: Given): readonly string[] {
  try {
    read({ ...NEEDED, ...given })
  } catch (error) {
    if (error instanceof Failure && error.reason === 'invalid_input') return error.problems
    throw error
  }
  return []
}

/** The inputs under `with:` that run a step against the sandbox with the demo's references. */
export function demoInputs(sandbox: Sandbox): Record<string, string> {
  return {
    api_key: sandbox.apiKey,
    api_base_url: sandbox.apiUrl,
    image_url: sandbox.media.url('demo/hero.png'),
    video_url: sandbox.media.url('demo/walk.mp4'),
    character_orientation: 'image',
  }
}
