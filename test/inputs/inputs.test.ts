import * as core from '@actions/core'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { INPUT_NAMES, type InputName, readInputs } from '../../src/inputs/inputs.ts'
import { GITHUB_TOKEN, readAction } from '../harness/action.ts'
import { inputsWith, NEEDED, problemsOf } from '../harness/inputs.ts'

const action = await readAction()
const KEY = NEEDED.api_key
afterEach(() => vi.unstubAllEnvs())

/** The default of an input, as the runner passes it. */
function defaultOf(name: string): string {
  return action.inputs[name]?.default?.replace('${{ github.token }}', GITHUB_TOKEN) ?? ''
}

describe('valid inputs', () => {
  it('a step needs only a key, two references and an orientation; action.yml has defaults for the rest', () => {
    expect(inputsWith()).toEqual({
      api_key: KEY,
      image_url: { kind: 'url', url: 'https://example.com/ref-image.png' },
      video_url: { kind: 'url', url: 'https://example.com/ref-video-8s.mp4' },
      character_orientation: 'image',
      mode: 'std',
      keep_original_sound: 'yes',
      prompt: '',
      model: 'kling-v2-6-motion-control',
      watermark: false,
      preflight: 'enforce',
      duration_probe: 'auto',
      ffprobe_path: '',
      dry_run: false,
      price_per_second: null,
      max_cost: null,
      idempotency_key: null,
      wait: false,
      wait_timeout_minutes: 45,
      task_id: null,
      output_path: null,
      regenerate: 'changed',
      attach_to_release: null,
      github_token: GITHUB_TOKEN,
      api_base_url: new URL('https://api.apimart.ai'),
    })
  })

  it.each<[InputName, string[]]>([
    ['character_orientation', ['image', 'video']],
    ['mode', ['std', 'pro']],
    ['model', ['kling-v2-6-motion-control', 'kling-v3-motion-control']],
    ['preflight', ['enforce', 'warn', 'off']],
    ['duration_probe', ['auto', 'header', 'ffprobe']],
  ])('the input %s accepts each of its values', (name, words) => {
    expect(words.map((word) => inputsWith({ [name]: word })[name])).toEqual(words)
  })

  it('every input is read exactly once', () => {
    const asked: string[] = []
    readInputs((name) => {
      asked.push(name)
      return NEEDED[name] ?? defaultOf(name)
    }, {})
    expect(asked).toEqual(INPUT_NAMES)
  })
})

describe('problems', () => {
  it('all problems are reported together in the order of action.yml, with name, value, legal values and remedy', () => {
    const problems = problemsOf({
      api_key: 'Bearer sk-secret',
      image_url: '',
      video_url: 'https://',
      character_orientation: '',
      mode: 'fast',
      keep_original_sound: '1',
      prompt: `${'very '.repeat(500)}slow`,
      model: 'kling-v2-6',
      watermark: 'yes',
      preflight: 'true',
      duration_probe: 'mediainfo',
      dry_run: '',
      price_per_second: '$3',
      max_cost: '0,5',
      api_base_url: 'api.apimart.ai',
    })
    expect(problems).toMatchInlineSnapshot(`
      [
        "api_key: It begins with "Bearer ". Use the key alone.",
        "image_url: It is required. Use the direct https URL of the reference image, readable without a login, or the path of a file in the workspace.",
        "video_url "https://": It is not a URL. Use the direct https URL of the reference clip, readable without a login, or the path of a file in the workspace.",
        "character_orientation: It is required. Use image (facing as in the image, clip of 3 to 10 s) or video (facing as in the clip, clip of 3 to 30 s).",
        "mode "fast": Use std (balanced) or pro (higher quality, slower, more expensive).",
        "keep_original_sound "1": Use yes or no.",
        "prompt "very very very very very very very very very very very very very very very very …": It has 2504 characters; the limit is 2500. Shorten it.",
        "model "kling-v2-6": Use kling-v2-6-motion-control or kling-v3-motion-control.",
        "watermark "yes": Use true or false.",
        "preflight "true": Use enforce (refuse references that violate a limit) or warn (report it and submit anyway) or off (skip the checks).",
        "duration_probe "mediainfo": Use auto (header, then ffprobe) or header or ffprobe.",
        "dry_run: Use true or false.",
        "price_per_second "$3": Use an amount in USD above 0, with a decimal point and no sign or currency, such as 0.057, or leave it out.",
        "max_cost "0,5": Use an amount in USD above 0, with a decimal point and no sign or currency, such as 0.057, or leave it out.",
        "api_base_url "api.apimart.ai": It is not an https URL. Use https://api.apimart.ai or the https base URL of your gateway, without /v1.",
      ]
    `)
  })

  it('a step without inputs gets one problem for each required input', () => {
    const names = problemsOf({ api_key: '', image_url: '', video_url: '', character_orientation: '' }).map(
      (problem) => problem.split(':')[0],
    )
    expect(names).toEqual(['api_key', 'image_url', 'video_url', 'character_orientation'])
  })

  it('a problem shows a long value shortened and on one line', () => {
    const [problem] = problemsOf({ mode: `fast\r\n::error::${'x'.repeat(1000)}` })
    expect(problem).toMatchInlineSnapshot(
      `"mode "fast ::error::xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…": Use std (balanced) or pro (higher quality, slower, more expensive)."`,
    )
  })
})

describe('api_key', () => {
  it('an empty api_key is refused with the explanation that forks get no secrets', () => {
    expect(problemsOf({ api_key: '' })).toMatchInlineSnapshot(`
      [
        "api_key: It is empty. Runs from forks and Dependabot get no secrets; with dry_run: true, no key is needed. Otherwise, store the APIMart key as the secret APIMART_API_KEY and pass it: api_key: \${{ secrets.APIMART_API_KEY }}",
      ]
    `)
  })

  it('api_key is not needed with dry_run', () => {
    expect(inputsWith({ api_key: '', dry_run: 'true' })).toMatchObject({ api_key: '', dry_run: true })
  })

  it('a missing api_key is reported even if dry_run cannot be read', () => {
    expect(problemsOf({ api_key: '', dry_run: 'maybe' })).toEqual([
      expect.stringContaining('api_key: It is empty.'),
      'dry_run "maybe": Use true or false.',
    ])
  })

  it.each([
    'Bearer sk-secret-value',
    'bearer sk-secret-value',
    'sk-secret value',
    'sk-secret\nvalue',
    'sk-secret-ключ',
  ])('api_key is refused without being shown when it is set to %j', (api_key) => {
    const problems = problemsOf({ api_key })
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(/^api_key: It (begins with "Bearer "|contains spaces)/)
    expect(problems[0]).not.toContain('secret-')
    expect(problems[0]).not.toContain('sk-')
  })
})

describe('booleans', () => {
  const words = [
    'true',
    'True',
    'TRUE',
    'false',
    'False',
    'FALSE',
    'tRUE',
    'yes',
    'no',
    'on',
    '1',
    '0',
    '',
    'null',
  ]

  it.each(words)('a boolean input is read as core.getBooleanInput reads it: %j', (word) => {
    vi.stubEnv('INPUT_WATERMARK', word)
    const asToolkit = () => {
      try {
        return core.getBooleanInput('watermark')
      } catch {
        return `watermark${word ? ` "${word}"` : ''}: Use true or false.`
      }
    }
    const [problem] = problemsOf({ watermark: word })
    expect(problem ?? inputsWith({ watermark: word }).watermark).toBe(asToolkit())
  })
})

describe('keep_original_sound', () => {
  it.each([
    ['yes', 'yes'],
    ['YES', 'yes'],
    ['true', 'yes'],
    ['True', 'yes'],
    ['no', 'no'],
    ['No', 'no'],
    ['false', 'no'],
    ['FALSE', 'no'],
  ])('keep_original_sound reads %s as %s', (given, word) => {
    expect(inputsWith({ keep_original_sound: given }).keep_original_sound).toBe(word)
  })

  it.each(['on', '1', '', 'yes please'])('keep_original_sound refuses %j', (given) => {
    expect(problemsOf({ keep_original_sound: given })).toEqual([
      `keep_original_sound${given ? ` "${given}"` : ''}: Use yes or no.`,
    ])
  })
})

describe('prompt', () => {
  it.each(['a', '完', '🎬', '\ud83c'])(
    'the length limit of the prompt counts characters, not bytes or UTF-16 units: %j',
    (character) => {
      const prompt = character.repeat(2500)
      expect(inputsWith({ prompt }).prompt).toBe(prompt)
      expect(problemsOf({ prompt: prompt + character })[0]).toContain(
        'It has 2501 characters; the limit is 2500. Shorten it.',
      )
    },
  )

  it('the prompt keeps its line breaks', () => {
    expect(inputsWith({ prompt: 'She turns.\nShe waves.' }).prompt).toBe('She turns.\nShe waves.')
  })
})

describe('price_per_second and max_cost', () => {
  it.each([
    ['0.057', 0.057],
    ['3', 3],
    ['.5', 0.5],
    ['00.10', 0.1],
    ['999999999', 999999999],
  ])('price_per_second and max_cost accept the number %s', (given, amount) => {
    expect(inputsWith({ price_per_second: given, max_cost: given })).toMatchObject({
      price_per_second: amount,
      max_cost: amount,
    })
  })

  it.each([
    ...[
      '$3',
      '3.00 USD',
      '0,057',
      '1e3',
      '0x10',
      '-1',
      '+1',
      '0',
      '0.0',
      'NaN',
      'Infinity',
      '3.',
      '.',
      '1.2.3',
    ],
    ...['1_000', '٣', '1000000000', `0.${'0'.repeat(400)}1`],
  ])('price_per_second and max_cost refuse %s', (given) => {
    const [price, cost, ...others] = problemsOf({ price_per_second: given, max_cost: given })
    expect(price).toMatch(
      /^price_per_second ".+": Use an amount in USD above 0.* such as 0\.057, or leave it out\.$/,
    )
    expect(cost).toMatch(/^max_cost ".+": Use an amount in USD above 0/)
    expect(others).toEqual([])
  })

  it('max_cost needs price_per_second', () => {
    expect(problemsOf({ max_cost: '0.5' })).toMatchInlineSnapshot(`
      [
        "max_cost "0.5": It needs price_per_second to estimate the cost from the length of the clip.",
      ]
    `)
  })

  it('max_cost is refused with preflight: off and accepted with preflight: warn', () => {
    const given = { max_cost: '0.5', price_per_second: '0.057' }
    expect(problemsOf({ ...given, preflight: 'off' })).toMatchInlineSnapshot(`
      [
        "max_cost "0.5": It needs the length of the clip, which preflight: off does not read. Use preflight: enforce or warn.",
      ]
    `)
    expect(inputsWith({ ...given, preflight: 'warn' })).toMatchObject({ max_cost: 0.5, preflight: 'warn' })
  })

  it('price_per_second is accepted without max_cost, even with preflight: off', () => {
    expect(inputsWith({ price_per_second: '0.057', preflight: 'off' }).price_per_second).toBe(0.057)
  })
})

describe('all inputs', () => {
  const outside = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 100 }),
    fc.string({ unit: 'grapheme', maxLength: 100 }),
    fc.webUrl({ withFragments: true, withQueryParameters: true, validSchemes: ['http', 'https', 'ftp'] }),
    fc.constantFrom(
      '',
      'true',
      'image',
      'x\n::error::y',
      'https://\u202e:\0@',
      'toString',
      '__proto__',
      '1e999',
    ),
  )
  const anything = (name: InputName) =>
    fc.oneof(
      { weight: 3, arbitrary: fc.constant(NEEDED[name] ?? defaultOf(name)) },
      { weight: 1, arbitrary: outside },
    )
  const record = fc.record(
    Object.fromEntries(INPUT_NAMES.map((name) => [name, anything(name)])) as Record<
      InputName,
      fc.Arbitrary<string>
    >,
  )

  it('arbitrary inputs are valid or refused as invalid_input, with one-line problems that never show the key', () => {
    fc.assert(
      fc.property(record, (given) => {
        const problems = problemsOf(given)
        for (const problem of problems) {
          expect(problem).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u)
          expect(problem).toMatch(/^[a-z_]+( ".*")?: [A-Z].*\S$/)
        }
        const others = INPUT_NAMES.flatMap((name) => (name === 'api_key' ? [] : [given[name]])).join('\n')
        const isKeyAlone = given.api_key.length >= 8 && !others.includes(given.api_key)
        if (isKeyAlone) expect(problems.join('\n')).not.toContain(given.api_key)
      }),
      { numRuns: 2000 },
    )
  })

  it('the problems of arbitrary inputs come in the order of action.yml and without repetition', () => {
    const order: readonly string[] = INPUT_NAMES
    fc.assert(
      fc.property(record, (given) => {
        const problems = problemsOf(given)
        const positions = problems.map((problem) => order.indexOf(/^\w+/.exec(problem)?.[0] ?? ''))
        expect(positions).not.toContain(-1)
        expect(positions).toEqual(positions.toSorted((a, b) => a - b))
        expect(new Set(problems).size).toBe(problems.length)
      }),
    )
  })
})

describe('idempotency_key', () => {
  it.each(['x', 'hero-walk/v2', '~!@', 'k'.repeat(191)])('idempotency_key accepts %s', (key) => {
    expect(inputsWith({ idempotency_key: key }).idempotency_key).toBe(key)
  })

  it.each(['a b', 'schlüssel', 'a\tb', 'k'.repeat(192)])('idempotency_key refuses %j', (key) => {
    const [problem, ...others] = problemsOf({ idempotency_key: key })
    expect(problem).toContain(
      ': APIMart accepts 1 to 191 visible ASCII characters without spaces. Shorten it, or leave it out.',
    )
    expect(others).toEqual([])
  })
})
