/**
 * The errors of the systems, in words.
 */
import { describe, expect, it } from 'vitest'
import { explainNetworkError, isTransient } from '../../src/network/network-errors.ts'

describe('a broken connection', () => {
  // Windows calls it by one of the last two when it writes.
  it.each(['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'ECANCELED'])('is told and tried again as %s', (code) => {
    const error = Object.assign(new Error(`write ${code}`), { code })
    expect(explainNetworkError(error)).toBe(`the server closed the connection (${code})`)
    expect(isTransient(error)).toBe(true)
  })
})
