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

const INPUTS = 'image_url|video_url|task_id|max_cost'

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
    pattern: /\b(whoever|whatever|whom)\b/gi,
    use: 'the noun: "anyone who", "any text", "no matter what", "which"',
    wrong: [
      'It is billed, whatever becomes of this job.',
      'Whoever waits can be given another clock.',
      'Whom it leads to.',
    ],
    right: ['Anyone who waits can inject another clock.'],
  },
  {
    pattern: /\bof which nobody\b|\bnobody (knows|learned) whether\b/gi,
    use: '"it is unknown whether"',
    wrong: [
      'A request of which nobody can say whether it was accepted.',
      'Nobody knows whether it was accepted.',
      'nobody learned whether it was accepted',
    ],
    right: ['It is unknown whether the request was accepted.', 'Nobody knows the key except the owner.'],
  },
  {
    pattern: /\bAlso\b(?! (see|runs)\b)/g,
    use: '"… too", or "also" beside the verb',
    wrong: ['Also drafts take part.'],
    right: ['Drafts also work.', 'Drafts work, also after publication.', 'Also see the README.'],
  },
  {
    pattern: /\bmay hold\b/gi,
    use: '"can contain"',
    wrong: ['What a header may hold.'],
    right: ['What a header can contain.'],
  },
  {
    pattern:
      /\b(tells|has told|not tell) (the|its|their) (length|cost|state|status|size)\b|\b(is|was|are|were|be|been|not) told\b/gi,
    use: '"reports", "shows", "contains", "is known" or "can be determined"',
    wrong: ['The header tells the length.', 'The cost is told by APIMart.', 'The length cannot be told.'],
    right: ['The header contains the length.', 'The exit code tells a script whether to retry.'],
  },
  {
    pattern: /\bwhat is said above\b/gi,
    use: 'the name of what is above, or "see above"',
    wrong: ['Fix what is said above, then re-run.'],
    right: ['Fix the problem above, then re-run.'],
  },
  {
    pattern: /\b(APIMart|Kling|GitHub|release) takes (no|only|any|nothing|files)\b/g,
    use: '"accepts"',
    wrong: ['A release takes nothing after that.', 'APIMart takes only a jpeg.'],
    right: ['The step takes 2 to 30 minutes.', 'The action takes an image and a clip.'],
  },
  {
    pattern: /\blook for it\b/gi,
    use: 'where to look: a URL, a page, a file',
    wrong: ['The task may exist: look for it.'],
    right: ['Look for the task in the task log at https://apimart.ai before you pay again.'],
  },
  {
    pattern: /\bdearer\b/gi,
    use: '"more expensive"',
    wrong: ['Slower and dearer.'],
    right: ['Slower and more expensive.'],
  },
  {
    pattern: /\b(task|run|job|wait|it|rendering) goes on\b(?! to\b)/gi,
    use: '"is still running" or "continues"',
    wrong: ['The task goes on.'],
    right: [
      'The task is still running.',
      'The run goes on to the next stage.',
      'What goes on the command line.',
    ],
  },
  {
    pattern: /\bcannot be held\b/gi,
    use: '"cannot be enforced"',
    wrong: ['max_cost cannot be held.'],
    right: ['max_cost cannot be enforced.'],
  },
  {
    pattern: /\b(broken|breaks?|broke) (\w+ )?off\b/gi,
    use: '"closed", "interrupted" or "cut off"',
    wrong: ['The connection was broken off.', 'The server breaks it off.', 'It broke off.'],
    right: ['The server closed the connection.'],
  },
  {
    pattern: /\bonce .{1,30} is put right\b/gi,
    use: '"fix"',
    wrong: ['Attach the video once this is put right.'],
    right: ['Fix this, then re-run.', 'The flag is put right after the input.'],
  },
  {
    pattern: /\bof one's own\b/gi,
    use: '"self-hosted", "your own"',
    wrong: ["A runner of one's own."],
    right: ['A self-hosted runner.'],
  },
  // The field's words.
  {
    pattern:
      /\b(https?|direct|signed|download) address(es)?\b|(?<!\b(IP|network) )\baddress(es)? of (the |a |its )?(image|clip|video|upload|API)\b(?! host)/gi,
    use: '"URL"',
    wrong: [
      'Use the address of the image.',
      'A signed address.',
      'Addresses of a clip.',
      'The address of its upload.',
    ],
    right: [
      'Use the URL of the image.',
      'Only public addresses are contacted.',
      'The IP address of the API.',
    ],
  },
  {
    pattern: /\btime-outs?\b/gi,
    use: '"timeout", or the verb "time out"',
    wrong: ['A time-out loses nothing.'],
    right: ['A timeout loses nothing.', 'The request timed out.'],
  },
  {
    pattern: /\bgive (another|the|a|an|your|it) (\w+ )?(URL|path|key|id|tag|name|value|idempotency_key)\b/gi,
    use: '"set", "pass" or "use"',
    wrong: ['Give another key for another video.', 'Give the URL of a public copy.'],
    right: ['Set another key for another video.', 'The output gives the URL.'],
  },
  {
    pattern: new RegExp(`\\b(${INPUTS})\`? is (not )?given\\b`, 'g'),
    use: '"is set"',
    wrong: ['Required unless task_id is given.', 'When `max_cost` is given.', 'If video_url is not given.'],
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
    pattern: /(?<![\d.,])\d[\d,]*(\.\d)? USD\b/g,
    use: 'two decimals',
    wrong: ['The account balance is 100 USD.', 'It costs 0.3 USD.', 'It costs 1,000 USD.'],
    right: ['The account balance is 100.00 USD.', 'It costs 0.30 USD, or 0.0057 USD.'],
  },
  {
    pattern: /`(?:npm|npx|gh|git|node) [^`\n]*`\.(?=\s|$)|\btask_id: (?:\$\{[^}]+\}|task_\w+)[.,;]/gm,
    use: 'a command or an id that stands alone, with nothing glued to it',
    wrong: ['Run `npm run build`.', 'Run the step again with task_id: task_1.'],
    right: ['Run the step again with task_id: task_1 to wait for it.', 'Run `npm run build` first.'],
  },
  {
    pattern: /[a-z]!(?=["'`]?(\s|$))/gi,
    use: 'a full stop',
    wrong: ['The video is ready!'],
    right: ['The video is ready.', 'a !== b'],
  },
]

/** Every place in a text where a rule is broken, in the order of the rules. A phrase across two lines is not found. */
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

/** What people write and read. The rules quote what they forbid. */
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
  // The text of a licence.
  ':!.github/scripts/licenses.ts',
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
