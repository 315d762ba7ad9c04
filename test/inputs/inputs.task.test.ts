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
import type { ReferenceText } from '../../src/inputs/reference-text.ts'
import { readAction } from '../harness/action.ts'
import { type Given, inputsOfTask, inputsWith, NEEDED, problemsOf } from '../harness/inputs.ts'

const action = await readAction()
afterEach(() => vi.unstubAllEnvs())

/** The inputs of a step with task_id: no references. */
const TASK: Given = { image_url: '', video_url: '', character_orientation: '', task_id: 'task_1' }

describe('wait', () => {
  it.each([
    ['', false],
    ['true', true],
    ['True', true],
    ['FALSE', false],
  ])('wait passed as %j is read as %s', (given, wait) => {
    expect(inputsWith(given === '' ? {} : { wait: given }).wait).toBe(wait)
  })

  it.each(['yes', '1', 'wait', 'tRUE'])('wait is refused when it is set to %j', (wait) => {
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
  ])('wait_timeout_minutes accepts %s', (given, minutes) => {
    expect(inputsWith({ wait_timeout_minutes: given }).wait_timeout_minutes).toBe(minutes)
  })

  it('wait_timeout_minutes is 45 by default', () => {
    expect(inputsWith().wait_timeout_minutes).toBe(45)
  })

  it.each([
    ...['', '0', '0.0', '-1', '+1', '1e3', '10080.1', '10081', '999999999', '1000000000'],
    ...['NaN', 'Infinity', '0x10', '1,5', '1.', '.', '45 min', 'never', '٣', '1_000'],
  ])('wait_timeout_minutes refuses %j', (given) => {
    const value = given === '' ? '' : ` "${given}"`
    expect(problemsOf({ wait_timeout_minutes: given })).toEqual([
      `wait_timeout_minutes${value}: Use a number of minutes above 0 and up to 10080, such as 45 or 0.5.`,
    ])
  })

  it('an invalid wait_timeout_minutes is refused even with wait: false', () => {
    expect(problemsOf({ wait: 'false', wait_timeout_minutes: 'long' })).toHaveLength(1)
  })

  it('wait_timeout_minutes accepts nothing but a number above 0 and up to a week', () => {
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
  ])('task_id keeps its value unchanged: %j', (task_id) => {
    expect(inputsOfTask(task_id).task_id).toBe(task_id)
  })

  it.each(['.', '..', 'task 1', 'task\n1', 'task\u20281', 'task\u202e1', '\0', '\ud83c', 'x'.repeat(201)])(
    'task_id is refused when it is set to %j',
    (task_id) => {
      const [problem, ...others] = problemsOf({ ...TASK, task_id })
      expect(problem).toMatch(
        /^task_id "[^\p{Cc}\p{Zl}\p{Bidi_C}]*": An id is one word of at most 200 characters\. Copy the id from the output task_id of the run that submitted the task\.$/u,
      )
      expect(others).toEqual([])
    },
  )

  it('task_id needs neither references nor an orientation, and leaves video_url null', () => {
    expect(inputsOfTask('task_1', TASK)).toMatchObject({
      task_id: 'task_1',
      video_url: null,
      wait: false,
      wait_timeout_minutes: 45,
      output_path: null,
    })
  })

  it('task_id can be combined with references, of which only video_url is kept', () => {
    const inputs = inputsOfTask('task_1', NEEDED)
    expect(inputs).toMatchObject({ video_url: { kind: 'url', url: NEEDED.video_url } })
    expect(inputs).not.toHaveProperty('image_url')
    expect(inputs).not.toHaveProperty('character_orientation')
  })

  it('a step with task_id ignores invalid values of inputs that only a new task needs', () => {
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

  it('task_id needs an api_key', () => {
    expect(problemsOf({ ...TASK, api_key: '' })).toEqual([expect.stringMatching(/^api_key: It is empty\. /)])
  })

  it('task_id is refused together with dry_run, even if there is another problem', () => {
    const problem =
      'dry_run "true": It shows the request for a new task, but task_id names an existing one. Remove one of them.'
    expect(problemsOf({ ...TASK, dry_run: 'true' })).toEqual([problem])
    expect(problemsOf({ ...TASK, dry_run: 'true', wait: 'x' })).toEqual([
      problem,
      'wait "x": Use true or false.',
    ])
  })

  it.each(['true', 'false'])('task_id can be combined with wait: %s', (wait) => {
    expect(inputsOfTask('task_1', { ...TASK, wait })).toMatchObject({
      task_id: 'task_1',
      wait: wait === 'true',
    })
  })
})

describe('output_path', () => {
  it.each(['video.mp4', 'assets/video.mp4', './a b/ü完.mov', '/tmp/x.mp4', '../x.mp4', 'C:\\videos\\x.mp4'])(
    'output_path is kept unchanged while the inputs are read: %j',
    (output_path) => {
      expect(inputsWith({ wait: 'true', output_path }).output_path).toBe(output_path)
    },
  )

  it.each(['a\nb.mp4', 'a\0.mp4', 'a\u0085.mp4', '\u001b[31m.mp4'])(
    'output_path is refused when it is set to %j',
    (output_path) => {
      expect(problemsOf({ wait: 'true', output_path })).toEqual([
        expect.stringMatching(
          /^output_path "\P{Cc}+": It contains a line break or another control character\. Use a plain path\.$/u,
        ),
      ])
    },
  )

  it('output_path needs wait: true or a task_id', () => {
    const problem =
      'output_path "video.mp4": It needs the finished video. Add wait: true, or set task_id to the id of an existing task.'
    const output_path = 'video.mp4'
    expect(problemsOf({ output_path })).toEqual([problem])
    expect(problemsOf({ output_path, wait: 'false' })).toEqual([problem])
    expect(problemsOf({ output_path, wait: 'True' })).toEqual([])
    expect(problemsOf({ ...TASK, output_path })).toEqual([])
    expect(problemsOf({ ...TASK, output_path, wait: 'false' })).toEqual([])
  })

  it('output_path can be combined with dry_run and wait', () => {
    expect(inputsWith({ dry_run: 'true', wait: 'true', output_path: 'video.mp4' }).output_path).toBe(
      'video.mp4',
    )
  })
})

describe('the white space in inputs', () => {
  it('white space around an input is ignored, and an input of only white space counts as empty', () => {
    const given: Record<string, string> = { ...NEEDED, task_id: ' \n', output_path: '  ', wait: ' true ' }
    for (const [name, { default: value = '' }] of Object.entries(action.inputs)) {
      vi.stubEnv(`INPUT_${name.toUpperCase()}`, given[name] ?? value.replace('${{ github.token }}', 'ghs_1'))
    }
    const inputs = readInputs((name: InputName) => core.getInput(name), {})
    expect(inputs).toMatchObject({ task_id: null, output_path: null, wait: true })
  })
})

describe('the type of the inputs', () => {
  it('the type of the inputs depends on task_id: only a new task has all references', () => {
    expectTypeOf<NewTaskInputs['task_id']>().toEqualTypeOf<null>()
    expectTypeOf<NewTaskInputs['image_url']>().toEqualTypeOf<ReferenceText>()
    expectTypeOf<NewTaskInputs['video_url']>().toEqualTypeOf<ReferenceText>()
    expectTypeOf<NewTaskInputs['character_orientation']>().toEqualTypeOf<'image' | 'video'>()
    expectTypeOf<ExistingTaskInputs['task_id']>().toEqualTypeOf<string>()
    expectTypeOf<ExistingTaskInputs['video_url']>().toEqualTypeOf<ReferenceText | null>()
    expectTypeOf<ExistingTaskInputs['wait_timeout_minutes']>().toEqualTypeOf<number>()
    const narrowed = (inputs: Inputs) => (inputs.task_id === null ? inputs.mode : inputs.task_id)
    expectTypeOf(narrowed).returns.toEqualTypeOf<string>()
    expect([narrowed(inputsWith()), narrowed(inputsOfTask('task_1'))]).toEqual(['std', 'task_1'])
  })
})
