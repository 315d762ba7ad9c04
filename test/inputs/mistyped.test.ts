import { describe, expect, it } from 'vitest'
import { INPUT_NAMES } from '../../src/inputs/inputs.ts'
import { findMistyped } from '../../src/inputs/mistyped.ts'

const found = (given: Record<string, string>) => findMistyped(given, INPUT_NAMES)

describe('names that resemble an input', () => {
  it.each([
    ['MAX_COSTS', 'max_cost'],
    ['MAXCOST', 'max_cost'],
    ['OUTPUT-PATH', 'output_path'],
    ['OUTPUT.PATH', 'output_path'],
    ['OUTPUTPATH', 'output_path'],
    ['PROMT', 'prompt'],
    ['PORMPT', 'prompt'],
    ['MODELS', 'model'],
    ['MODES', 'mode'],
    ['CHARACTER-ORIENTATION', 'character_orientation'],
    ['CHARACTER_ORENTATOIN', 'character_orientation'],
    ['PRICE_PER_SECONDS', 'price_per_second'],
    ['PRICES_PER_SECONDS', 'price_per_second'],
    ['DRYRUN', 'dry_run'],
    ['IMAGE_URI', 'image_url'],
    ['PREFLIGTH', 'preflight'],
    ['API-KEY', 'api_key'],
    ['ATTACH_TO_RELEASES', 'attach_to_release'],
  ])('%s is refused as a typo of %s', (variable, name) => {
    expect(found({ [variable]: '0.1' })).toEqual([
      `${variable.toLowerCase()} is not an input. Did you mean ${name}?`,
    ])
  })

  it.each([
    ...[
      'WHO_TO_GREET',
      'MODEL_NAME',
      'TOKEN',
      'PATH',
      'IMAGE',
      'VIDEO',
      'TAG',
      'NAME',
      'NODE',
      'METHOD',
      'FILE',
    ],
    ...['OUTPUT_DIR', 'REF', 'FETCH-DEPTH', 'WORKING-DIRECTORY', 'VIDEO_ID', 'WAITS', 'KEY', ''],
  ])('%j resembles no input', (variable) => {
    expect(found({ [variable]: '0.1' })).toEqual([])
  })

  it('the names of the inputs themselves are accepted', () => {
    expect(found(Object.fromEntries(INPUT_NAMES.map((name) => [name.toUpperCase(), 'x'])))).toEqual([])
  })

  it.each(['', ' ', '\n'])('a typo with the blank value %j is no mistake', (value) => {
    expect(found({ MAX_COSTS: value })).toEqual([])
  })

  it('a typo with the value of the input that it resembles is no mistake', () => {
    expect(found({ MAX_COSTS: ' 0.1', MAX_COST: '0.1' })).toEqual([])
    expect(found({ MAX_COSTS: '0.1', MAX_COST: '0.2' })).toHaveLength(1)
  })

  it('every typo is reported, each with the closest input', () => {
    expect(found({ MAX_COSTS: '0.1', VIDEO_URLS: 'x', IMAGE_URLS: 'y' })).toEqual([
      'max_costs is not an input. Did you mean max_cost?',
      'video_urls is not an input. Did you mean video_url?',
      'image_urls is not an input. Did you mean image_url?',
    ])
  })
})
