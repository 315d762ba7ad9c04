import type { Clock } from './clock.ts'
import { errorBody, Refusal } from './errors.ts'
import type { Answer } from './faults.ts'

interface Entry {
  readonly body: string
  /** Milliseconds on the sandbox's clock. */
  readonly expiresAt: number
  /** Undefined while the first request is still running. */
  answer?: Answer
}

const KEPT = 24 * 3_600_000

/** Remembers accepted submissions by their idempotency key. */
export class Idempotency {
  #clock: Clock
  #remembers: boolean
  #entries = new Map<string, Entry>()

  /** Without memory, every submission counts as new. */
  constructor(clock: Clock, remembers: boolean) {
    this.#clock = clock
    this.#remembers = remembers
  }

  /**
   * Runs a submission once per key; a repeated request gets the first response again. Only accepted submissions are
   * remembered. Throws a `Refusal` for a malformed key, another body under the same key, or a first request in progress.
   */
  async once(key: string | undefined, body: string, run: () => Promise<Answer>): Promise<Answer> {
    if (key === undefined || !this.#remembers) return run()
    if (!/^[\x21-\x7e]{1,191}$/.test(key)) {
      throw new Refusal(400, 'Idempotency-Key must be 1 to 191 visible ASCII characters')
    }
    const found = this.#entries.get(key)
    if (found !== undefined && this.#clock.now() < found.expiresAt) {
      if (found.body !== body) throw conflict('idempotency_key_reused', 'the key was used with another body')
      if (found.answer === undefined)
        throw conflict('idempotency_in_progress', 'the first request is still running')
      return { ...found.answer, headers: { 'idempotency-replayed': 'true' } }
    }
    const entry: Entry = { body, expiresAt: this.#clock.now() + KEPT }
    this.#entries.set(key, entry)
    try {
      entry.answer = await run()
      return entry.answer
    } catch (error) {
      this.#entries.delete(key)
      throw error
    }
  }
}

function conflict(code: string, message: string): Refusal {
  return new Refusal(409, message, errorBody(409, message, code))
}
