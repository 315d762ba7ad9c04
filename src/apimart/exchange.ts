/**
 * One exchange with the API: what every request to it has in common.
 */
import { type Dispatcher, readUpTo, request } from '../network/undici.ts'

/** A documented answer has some hundred bytes; what comes after this many is dropped. */
const ANSWER_MAX_BYTES = 1024 * 1024

/** An answer of the API, whatever it says. */
export interface Answer {
  readonly status: number
  readonly headers: Dispatcher.ResponseData['headers']
  readonly body: string
}

/**
 * Sends one request and reads the answer.
 *
 * @param options method, and for a POST its body and further headers
 * @throws whatever the network throws, or the signal's reason
 */
export async function exchange(
  url: string,
  apiKey: string,
  options: { method: 'GET' | 'POST'; body?: string; headers?: Record<string, string> },
  dispatcher: Dispatcher,
  signal: AbortSignal,
): Promise<Answer> {
  const answer = await request(url, {
    ...options,
    dispatcher,
    signal,
    headers: {
      ...options.headers,
      authorization: `Bearer ${apiKey}`,
      accept: 'application/json',
      'accept-encoding': 'identity',
    },
  })
  // The decoder drops a byte order mark, with which the JSON would be none.
  const body = new TextDecoder().decode(await readUpTo(answer.body, ANSWER_MAX_BYTES))
  return { status: answer.statusCode, headers: answer.headers, body }
}
