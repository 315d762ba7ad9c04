/**
 * What it means that a task ended without a video.
 */
import { Failure } from '../failure.ts'
import { oneLine } from '../format.ts'
import { conceal } from '../secrets.ts'
import { quote } from './answer.ts'
import type { CancelledTask, FailedTask } from './task.ts'

/** Known messages, and what the user can do about each (Kling's demands of the references). */
const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [
    /upper body|no (complete |whole |valid )?(human|person|face|character)\b|(human|person|face|character|human body) (was |is |could )?(not|never) (be )?(found|detected)/i,
    'Kling found no person with the upper body in full view. Use an image and a clip that show one person with head, shoulders and arms, not cut off and not covered.',
  ],
  [
    /(content|safety|usage) (policy|policies|guidelines)|violat\w* (of )?(the |our )?(\w+ )?(policy|policies|terms|guidelines|rules)|sensitive|moderation|nsfw|prohibited content|inappropriate|copyright|risk control/i,
    'The content of the image, the clip or the prompt was refused. The same request would be refused again: change who or what it shows or says.',
  ],
  [
    /too short|too fast|continuous|multiple (shots|scenes|people|persons)|(scene|shot|camera) (cut|change)/i,
    'Kling can follow one person in one continuous shot that is not too fast. It needs at least 3 s of that, and makes the video shorter, or none, where the clip has less.',
  ],
]

/**
 * The failure of a task that has ended so.
 *
 * @param secrets what must not be repeated of the API's words
 * @returns `task_failed` or `task_cancelled`, with the API's own message and code
 */
export function taskFailure(task: FailedTask | CancelledTask, secrets: readonly string[]): Failure {
  if (task.state === 'cancelled') {
    return new Failure('task_cancelled', ['The task was cancelled at APIMart, not by this job.'])
  }
  const { error } = task
  const code = [error.code, error.type].filter((part, i, parts) => part !== '' && parts.indexOf(part) === i)
  const named = code.length > 0 ? ` (${oneLine(conceal(code.join(', '), secrets), 100)})` : ''
  const problem = `APIMart ended the task as ${oneLine(task.word, 40)}${named}. ${quote(error, '', secrets)}`
  const meaning = MEANINGS.find(([pattern]) =>
    pattern.test(`${error.message} ${code.join(' ')}`.slice(0, 4000)),
  )
  return new Failure('task_failed', meaning ? [problem, meaning[1]] : [problem])
}
