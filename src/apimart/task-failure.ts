/**
 * Why a task ended without a video.
 */
import { Failure } from '../failure.ts'
import { oneLine } from '../text/format.ts'
import { conceal } from '../text/secrets.ts'
import { quote } from './parse.ts'
import type { CancelledTask, FailedTask } from './task-state.ts'

/** Known messages, and what the user can do about each (Kling's requirements for references). */
const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [
    /\bupper body\b|\bno (complete |whole |valid )?(human|persons?|people|faces?)\b|\b(human|persons?|faces?|character|human body) (was |were |is |are |could )?(not|never) (be )?(found|detected)\b/i,
    'Kling found no person with the upper body in full view. Use an image and a clip that show one person with head, shoulders and arms, not cut off and not covered.',
  ],
  [
    /\b(content|safety|usage) (policy|policies|guidelines|filter)\b|\bviolat\w* (of )?(the |our )?(\w+ )?(policy|policies|terms|guidelines|rules)\b|\bsensitive (content|information|words?)\b|\bmoderation (failed|blocked|rejected)\b|\bby moderation\b|\bnsfw\b|\bprohibited content\b|\binappropriate\b|\bcopyright\b|\brisk control\b/i,
    'The content of the image, the clip or the prompt was refused. The same request would be refused again: change what the image, the clip or the prompt contains.',
  ],
  [
    /\b(video|clip|motion|movement|part|segment) (is )?too (short|fast)\b|\bcontinuous\b|\bmultiple (shots|scenes|people|persons)\b|\b(scene|shot|camera) (cut|change)/i,
    'Kling can follow one person in one continuous shot without fast movement. It needs at least 3 s of movement that it can follow; with less, the video is shorter, or the task fails.',
  ],
]

/**
 * The failure for a task that ended without a video.
 *
 * @param secrets strings that messages must not repeat from the API's text
 * @returns `task_failed` or `task_cancelled`, with the API's own message and code
 */
export function taskFailure(task: FailedTask | CancelledTask, secrets: readonly string[]): Failure {
  if (task.status === 'cancelled') {
    return new Failure('task_cancelled', ['The task was cancelled at APIMart, not by this job.'])
  }
  const { error } = task
  const code = [...new Set([error.code, error.type])].filter((part) => part !== '')
  const named = code.length > 0 ? ` (${oneLine(conceal(code.join(', '), secrets), 100)})` : ''
  const problem = `APIMart reports the task as ${oneLine(task.rawStatus, 40)}${named}. ${quote(error, '', secrets)}`
  // Codes separate the same words differently: content_policy_violation.
  const words = `${error.message} ${code.join(' ')}`.slice(0, 4000).replace(/[_-]+/g, ' ')
  const meaning = MEANINGS.find(([pattern]) => pattern.test(words))
  return new Failure('task_failed', meaning ? [problem, meaning[1]] : [problem])
}
