/**
 * The system's network errors, in words.
 */
import { describe, expect, it } from 'vitest'
import { explainNetworkError, isTransient } from '../../src/network/network-errors.ts'

describe('a broken connection', () => {
  // Windows reports one of the last two on a write.
  it.each(['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'ECANCELED'])(
    'the error %s is reported as a closed connection and counts as transient',
    (code) => {
      const error = Object.assign(new Error(`write ${code}`), { code })
      expect(explainNetworkError(error)).toBe(`the server closed the connection (${code})`)
      expect(isTransient(error)).toBe(true)
    },
  )
})
