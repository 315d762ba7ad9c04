/**
 * Lints the English of everything that a user or a maintainer reads: words and patterns that sound translated, and second words
 * for one thing. Prints `file:line:column: message` for each and fails when there is one.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Rule {
  readonly pattern: RegExp
  readonly use: string
  /** Sentences that only this rule finds. */
  readonly wrong: readonly string[]
  /** Sentences close to them that no rule finds. */
  readonly right: readonly string[]
}

export interface Finding {
  readonly line: number
  readonly column: number
  readonly message: string
}

const AMOUNT = /(?<![\d.,])\d+(\.\d)? USD\b/
const INPUTS = 'image_url|video_url|task_id|prompt|output_path|price_per_second|max_cost|idempotency_key'
const PROGRAMS = 'APIMart|Kling|GitHub|API|action|step|server|host|runner|release|proxy|program|reader|parser'

export const RULES: readonly Rule[] = [
  // Words that no native engineer writes.
  {
    pattern: /\banew\b/gi,
    use: '"again", or the verb itself: re-mux, regenerate, re-check',
    wrong: ['Write the clip anew.'],
    right: ['Save the image again.'],
  },
  {
    pattern: /\bshall\b/gi,
    use: '"must", "should" or the present tense',
    wrong: ['Jobs that shall not share a task need a key each.'],
    right: ['Jobs that must not share a task need a key each.'],
  },
  {
    pattern: /\b(whoever|whatever|whosever|whomever|whom)\b/gi,
    use: 'the noun: "anyone who", "any text", "no matter what", "which"',
    wrong: ['It is billed, whatever becomes of this job.', 'Whoever waits can be given another clock.'],
    right: ['Anyone who waits can inject another clock.'],
  },
  {
    pattern: /\bof which (nobody|no one)\b/gi,
    use: '"it is unknown whether"',
    wrong: ['A request of which nobody has learned whether it was accepted.'],
    right: ['It is unknown whether the request was accepted.'],
  },
  {
    pattern: /\bAlso\b/g,
    use: '"… too", or "also" beside the verb',
    wrong: ['Also drafts take part.'],
    right: ['Drafts also work.', 'Drafts work, also after publication.'],
  },
  {
    pattern: /\bmay hold\b/gi,
    use: '"can contain"',
    wrong: ['What a header may hold.'],
    right: ['What a header can contain.'],
  },
  {
    pattern: /\b(tells|told)\b/gi,
    use: '"reports", "shows", "says", "returns" or "is known"',
    wrong: ['The header tells the length.', 'APIMart has not told the cost.'],
    right: ['The header contains the length.', 'Nothing can tell the two apart.'],
  },
  {
    pattern: /\bwhat is said above\b/gi,
    use: 'the name of what is above, or "see above"',
    wrong: ['Fix what is said above, then re-run.'],
    right: ['Fix the problem above, then re-run.'],
  },
  {
    pattern: new RegExp(
      String.raw`\b(${PROGRAMS})s? takes? (no |nothing|any|all|only|a |an |the )(?!while)`,
      'g',
    ),
    use: '"accepts"',
    wrong: ['An immutable release takes nothing after that.', 'APIMart takes a jpeg.'],
    right: ['The step takes 2 to 30 minutes.', 'The release takes a while.'],
  },
  {
    pattern: /\blook for it\b/gi,
    use: 'where to look: a URL, a page, a file',
    wrong: ['The task may exist: look for it.'],
    right: ['Look for the task in the task log at https://apimart.ai before you pay again.'],
  },
  {
    pattern: /\b(dearer|dearest)\b/gi,
    use: '"more expensive"',
    wrong: ['Slower and dearer.'],
    right: ['Slower and more expensive.'],
  },
  {
    pattern: /\b(goes|go|going|went) on\b(?! to\b)/gi,
    use: '"is still running" or "continues"',
    wrong: ['The task goes on.'],
    right: ['The task is still running.', 'The run goes on to the next stage.'],
  },
  {
    pattern: /\bcannot be (told|held)\b/gi,
    use: '"cannot be determined", "cannot be enforced"',
    wrong: ['max_cost cannot be held.'],
    right: ['max_cost cannot be enforced.'],
  },
  {
    pattern: /\bagrees? on no\b/gi,
    use: '"the TLS handshake failed"',
    wrong: ['The host and this machine agree on no version.'],
    right: ['The TLS handshake failed.'],
  },
  {
    pattern: /\b(broken|breaks?|broke|breaking) (\w+ )?off\b/gi,
    use: '"closed", "interrupted" or "cut off"',
    wrong: ['The connection was broken off.', 'The server breaks it off.'],
    right: ['The server closed the connection.'],
  },
  {
    pattern: /\bsends? on and on\b/gi,
    use: '"keeps sending"',
    wrong: ['The server sends on and on.'],
    right: ['The server keeps sending data.'],
  },
  {
    pattern: /\bmade sure\b/gi,
    use: '"checked"',
    wrong: ['That it exists is made sure before.'],
    right: ['It is checked first that it exists.'],
  },
  {
    pattern: /\bput right\b/gi,
    use: '"fix"',
    wrong: ['Once this is put right, re-run.'],
    right: ['Fix this, then re-run.'],
  },
  {
    pattern: /\bof one's own\b/gi,
    use: '"self-hosted", "your own"',
    wrong: ["A runner of one's own."],
    right: ['A self-hosted runner.'],
  },
  {
    pattern: /\bgoes its own way\b/gi,
    use: '"is not affected"',
    wrong: ['The task in task_id goes its own way.'],
    right: ['The task in task_id is not affected.'],
  },
  {
    pattern: /\bnobody (learned|knows|looked|can know)\b/gi,
    use: '"it is unknown whether"',
    wrong: ['Nobody knows whether it was accepted.'],
    right: ['It is unknown whether it was accepted.', 'Nobody watches the job.'],
  },
  {
    pattern: /\bat work\b/gi,
    use: '"in progress", "running", "started"',
    wrong: ['First seen at work at 10:00.'],
    right: ['Started at 10:00.'],
  },
  // The field's words.
  {
    pattern:
      /\b(https?|direct|signed|download) address(es)?\b|\baddress(es)? of (the |a |an |its )?(image|clip|video|result|upload|file|API|release asset|page|task)\b/gi,
    use: '"URL"',
    wrong: ['Use the address of the image.', 'A signed address.'],
    right: ['Use the URL of the image.', 'Only public addresses are contacted.'],
  },
  {
    pattern: /\btime-outs?\b/gi,
    use: '"timeout", or the verb "time out"',
    wrong: ['A time-out loses nothing.'],
    right: ['A timeout loses nothing.', 'The request timed out.'],
  },
  {
    pattern:
      /\b(give|gives|gave|giving) (another|the|a|an|an own|your) (\w+ )?(URL|path|key|id|tag|name|token|input|value|idempotency_key)\b/gi,
    use: '"set", "pass" or "use"',
    wrong: ['Give another key for another video.', 'Give the URL of a public copy.'],
    right: ['Set another key for another video.'],
  },
  {
    pattern: new RegExp(`\`?\\b(${INPUTS})\`? (is|was|are) (not )?given\\b`, 'g'),
    use: '"is set"',
    wrong: ['Required unless task_id is given.', 'When `max_cost` is given.'],
    right: ['Required unless task_id is set.'],
  },
  // One word for one thing.
  {
    pattern: /films?(?![a-z])/gi,
    use: '"video"',
    wrong: ['The film is done.', 'assets/film.mp4'],
    right: ['The video is done.'],
  },
  {
    pattern: /\bstations?\b/gi,
    use: '"stage"',
    wrong: ['The next station of the run.'],
    right: ['The next stage of the run.'],
  },
  // Patterns.
  {
    pattern: new RegExp(AMOUNT, 'g'),
    use: 'two decimals',
    wrong: ['The account balance is 100 USD.', 'It costs 0.3 USD.'],
    right: ['The account balance is 100.00 USD.', 'It costs 0.30 USD, or 0.0057 USD.'],
  },
  {
    pattern: /`(?:npm|npx|gh|git|node) [^`\n]*`\.(?=\s|$)|\btask_id: (?:\$\{[^}]+\}|task_\w+)[.,;]/gm,
    use: 'a command or an id that stands alone, with nothing glued to it',
    wrong: ['Run `npm run build`.', 'Run the step again with task_id: task_1.'],
    right: ['Run the step again with task_id: task_1 to wait for it.', 'Run `npm run build` first.'],
  },
  {
    pattern: /[a-z]!(?=["'`]?(\s|$))/gim,
    use: 'a full stop',
    wrong: ['The video is ready!'],
    right: ['The video is ready.', 'a !== b'],
  },
]

/** Every place in a text where a rule is broken, in the order of the rules. */
export function lintWords(text: string): Finding[] {
  return RULES.flatMap(({ pattern, use }) =>
    [...text.matchAll(pattern)].map(({ 0: found, index }) => {
      const before = text.slice(0, index).split('\n')
      return {
        line: before.length,
        column: (before.at(-1)?.length ?? 0) + 1,
        message: `"${found}": use ${use}`,
      }
    }),
  )
}

/** What people write and read. The rules quote what they forbid, and lists that programs write are not ours. */
const FILES = [
  'src/**',
  'test/**/*.ts',
  'test/**/*.md',
  '*.md',
  '*.yml',
  '.github/**',
  '.ci/*',
  'package.json',
]
const OTHERS = [
  ':!test/lint-words.ts',
  ':!test/project/lint-words.test.ts',
  ':!.github/requirements.txt',
  // The text of a licence.
  ':!.github/scripts/licenses.ts',
  ':!test/media/corpus.md',
]

if (import.meta.main) {
  const root = join(import.meta.dirname, '..')
  const listed = execFileSync(
    'git',
    ['ls-files', '-z', '--', ...FILES.map((file) => `:(glob)${file}`), ...OTHERS],
    {
      cwd: root,
      encoding: 'utf8',
    },
  )
  const files = listed.split('\0').filter((file) => file !== '')
  let count = 0
  for (const file of files) {
    for (const { line, column, message } of lintWords(readFileSync(join(root, file), 'utf8'))) {
      console.error(`${file}:${line}:${column}: ${message}`)
      count += 1
    }
  }
  if (count === 0) console.log(`Linted the words of ${files.length} files. No problems found.`)
  process.exitCode = count === 0 ? 0 : 1
}
