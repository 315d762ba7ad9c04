/**
 * Each rule of the word lint finds what it forbids, and nothing that is correct.
 */
import { describe, expect, it } from 'vitest'
import { lintWords, RULES } from '../lint-words.ts'

describe.each(RULES)('$pattern', ({ use, wrong, right }) => {
  it.each(wrong)('the word lint finds one mistake in: %s', (sentence) => {
    const messages = lintWords(sentence).map(({ message }) => message)
    expect(messages).toEqual([expect.stringContaining(`": use ${use}`)])
  })

  it.each(right)('the word lint accepts: %s', (sentence) => expect(lintWords(sentence)).toEqual([]))
})

it('the word lint reports the line and the column of each mistake', () => {
  expect(lintWords('Fine.\nMade anew, and dearer.\n')).toEqual([
    { line: 2, column: 6, message: '"anew": use "again", or the verb itself: re-mux, regenerate, re-check' },
    { line: 2, column: 16, message: '"dearer": use "more expensive"' },
  ])
})
