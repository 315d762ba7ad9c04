import * as core from '@actions/core'
import fc from 'fast-check'
import { afterEach, describe, expect, expectTypeOf, it, vi } from 'vitest'
import {
  type ExistingTaskInputs,
  type InputName,
  type Inputs,
  type NewTaskInputs,
  readInputs,
} from '../../src/inputs/inputs.ts'
import { readAction } from '../harness/action.ts'
import { type Given, inputsOfTask, inputsWith, NEEDED, problemsOf } from '../harness/inputs.ts'

const action = await readAction()
afterEach(() => vi.unstubAllEnvs())

/** What a step has to say that names a task: no references. */
const TASK: Given = { image_url: '', video_url: '', character_orientation: '', task_id: 'task_1' }

describe('wait', () => {
  it.each([
    ['', false],
    ['true', true],
    ['True', true],
    ['FALSE', false],
  ])('given as %j is %s', (given, wait) => {
    expect(inputsWith(given === '' ? {} : { wait: given }).wait).toBe(wait)
  })

  it.each(['yes', '1', 'wait', 'tRUE'])('is refused as %j', (wait) => {
    expect(problemsOf({ wait })).toEqual([`wait "${wait}": Use true or false.`])
  })
})

describe('wait_timeout_minutes', () => {
  it.each([
    ['0.5', 0.5],
    ['.25', 0.25],
    ['1', 1],
    ['045', 45],
    ['45.0', 45],
    ['10080', 10_080],
    ['10080.0', 10_080],
  ])('takes %s', (given, minutes) => {
    expect(inputsWith({ wait_timeout_minutes: given }).wait_timeout_minutes).toBe(minutes)
  })

  it('is 45 where nothing is said', () => {
    expect(inputsWith().wait_timeout_minutes).toBe(45)
  })

  it.each([
    ...['', '0', '0.0', '-1', '+1', '1e3', '10080.1', '10081', '999999999', '1000000000'],
    ...['NaN', 'Infinity', '0x10', '1,5', '1.', '.', '45 min', 'never', '٣', '1_000'],
  ])('refuses %j', (given) => {
    const value = given === '' ? '' : ` "${given}"`
    expect(problemsOf({ wait_timeout_minutes: given })).toEqual([
      `wait_timeout_minutes${value}: Give a number of minutes above 0 and up to 10080, such as 45 or 0.5.`,
    ])
  })

  it('is refused as well where nothing is waited for', () => {
    expect(problemsOf({ wait: 'false', wait_timeout_minutes: 'long' })).toHaveLength(1)
  })

  it('is a number of minutes above 0 and up to a week, or refused, whatever is given', () => {
    const given = fc.oneof(
      fc.string(),
      fc.double().map(String),
      fc.integer({ min: -5, max: 20_000 }).map(String),
    )
    fc.assert(
      fc.property(given, (wait_timeout_minutes) => {
        if (problemsOf({ wait_timeout_minutes }).length > 0) return
        const { wait_timeout_minutes: minutes } = inputsWith({ wait_timeout_minutes })
        expect(minutes).toBeGreaterThan(0)
        expect(minutes).toBeLessThanOrEqual(10_080)
        expect(minutes).toBe(Number(wait_timeout_minutes))
      }),
    )
  })
})

describe('task_id', () => {
  it.each([
    'task_01J9HA7JPQ9A0Z6JZ3V8M9W6PZ',
    '7',
    'a/b?c=d#e%2F',
    '完成',
    '🎬',
    '::error::',
    '...',
    '.a',
    'x'.repeat(200),
    '🎬'.repeat(200),
  ])('is kept as given: %j', (task_id) => {
    expect(inputsOfTask(task_id).task_id).toBe(task_id)
  })

  it.each(['.', '..', 'task 1', 'task\n1', 'task\u20281', 'task\u202e1', '\0', '\ud83c', 'x'.repeat(201)])(
    'is refused as %j',
    (task_id) => {
      const [problem, ...others] = problemsOf({ ...TASK, task_id })
      expect(problem).toMatch(
        /^task_id "[^\p{Cc}\p{Zl}\p{Bidi_C}]*": An id is one word of at most 200 characters\. Copy it from the output task_id of the run that submitted it\.$/u,
      )
      expect(others).toEqual([])
    },
  )

  it('needs neither references nor an orientation, and gives none', () => {
    expect(inputsOfTask('task_1', TASK)).toMatchObject({
      task_id: 'task_1',
      video_url: null,
      wait: false,
      wait_timeout_minutes: 45,
      output_path: null,
    })
  })

  it('may stand beside references, of which only the clip counts', () => {
    const inputs = inputsOfTask('task_1', NEEDED)
    expect(inputs).toMatchObject({ video_url: NEEDED.video_url })
    expect(inputs).not.toHaveProperty('image_url')
    expect(inputs).not.toHaveProperty('character_orientation')
  })

  it('is not kept from its video by what only a new task needs', () => {
    const wrong = {
      image_url: 'x',
      video_url: 'ftp://dance.mp4',
      character_orientation: 'left',
      mode: 'fast',
    }
    const more = {
      prompt: 'x'.repeat(2501),
      idempotency_key: 'a b',
      model: 'x',
      watermark: 'x',
      keep_original_sound: 'x',
      max_cost: 'x',
    }
    expect(inputsOfTask('task_1', { ...TASK, ...wrong, ...more }).video_url).toBeNull()
  })

  it('needs a key', () => {
    expect(problemsOf({ ...TASK, api_key: '' })).toEqual([expect.stringMatching(/^api_key: It is empty\. /)])
  })

  it('does not go with dry_run, which is told also beside another problem', () => {
    const problem =
      'dry_run "true": It shows the request of a new task, and task_id asks for an existing one. Leave one of them out.'
    expect(problemsOf({ ...TASK, dry_run: 'true' })).toEqual([problem])
    expect(problemsOf({ ...TASK, dry_run: 'true', wait: 'x' })).toEqual([
      problem,
      'wait "x": Use true or false.',
    ])
  })

  it.each(['true', 'false'])('goes with wait: %s', (wait) => {
    expect(inputsOfTask('task_1', { ...TASK, wait })).toMatchObject({
      task_id: 'task_1',
      wait: wait === 'true',
    })
  })
})

describe('output_path', () => {
  it.each(['film.mp4', 'assets/film.mp4', './a b/ü完.mov', '/tmp/x.mp4', '../x.mp4', 'C:\\films\\x.mp4'])(
    'is kept as given, its place is looked at later: %j',
    (output_path) => {
      expect(inputsWith({ wait: 'true', output_path }).output_path).toBe(output_path)
    },
  )

  it.each(['a\nb.mp4', 'a\0.mp4', 'a\u0085.mp4', '\u001b[31m.mp4'])('is refused as %j', (output_path) => {
    expect(problemsOf({ wait: 'true', output_path })).toEqual([
      expect.stringMatching(
        /^output_path "\P{Cc}+": It contains a line break or another control character\. Give a plain path\.$/u,
      ),
    ])
  })

  it('needs wait: true or a task_id', () => {
    const problem =
      'output_path "film.mp4": It needs the finished video. Add wait: true, or give the task_id of an existing task.'
    const output_path = 'film.mp4'
    expect(problemsOf({ output_path })).toEqual([problem])
    expect(problemsOf({ output_path, wait: 'false' })).toEqual([problem])
    expect(problemsOf({ output_path, wait: 'True' })).toEqual([])
    expect(problemsOf({ ...TASK, output_path })).toEqual([])
    expect(problemsOf({ ...TASK, output_path, wait: 'false' })).toEqual([])
  })

  it('goes with dry_run and wait, which then ends before it', () => {
    expect(inputsWith({ dry_run: 'true', wait: 'true', output_path: 'film.mp4' }).output_path).toBe(
      'film.mp4',
    )
  })
})

describe('the empty inputs of a step', () => {
  it('are read as the toolkit reads the environment: only white space is nothing', () => {
    const given: Record<string, string> = { ...NEEDED, task_id: ' \n', output_path: '  ', wait: ' true ' }
    for (const [name, { default: value = '' }] of Object.entries(action.inputs)) {
      vi.stubEnv(`INPUT_${name.toUpperCase()}`, given[name] ?? value.replace('${{ github.token }}', 'ghs_1'))
    }
    const inputs = readInputs((name: InputName) => core.getInput(name))
    expect(inputs).toMatchObject({ task_id: null, output_path: null, wait: true })
  })
})

describe('the type of the inputs', () => {
  it('says by task_id whether there are references', () => {
    expectTypeOf<NewTaskInputs['task_id']>().toEqualTypeOf<null>()
    expectTypeOf<NewTaskInputs['image_url']>().toEqualTypeOf<string>()
    expectTypeOf<NewTaskInputs['video_url']>().toEqualTypeOf<string>()
    expectTypeOf<NewTaskInputs['character_orientation']>().toEqualTypeOf<'image' | 'video'>()
    expectTypeOf<ExistingTaskInputs['task_id']>().toEqualTypeOf<string>()
    expectTypeOf<ExistingTaskInputs['video_url']>().toEqualTypeOf<string | null>()
    expectTypeOf<ExistingTaskInputs['wait_timeout_minutes']>().toEqualTypeOf<number>()
    const narrowed = (inputs: Inputs) => (inputs.task_id === null ? inputs.video_url : inputs.task_id)
    expectTypeOf(narrowed).returns.toEqualTypeOf<string>()
    expect([narrowed(inputsWith()), narrowed(inputsOfTask('task_1'))]).toEqual([NEEDED.video_url, 'task_1'])
  })
})
