/** A response of the API. */
export interface Answer {
  readonly status: number
  /** Sent as JSON, or unchanged if it is a string; no body if undefined. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Responds at once; otherwise the request body is read first. */
  readonly early?: boolean
}

/** Thrown to make the API refuse a request. */
export class Refusal extends Error {
  readonly answer: Answer

  constructor(answer: Answer) {
    super(`refused with ${answer.status}`)
    this.answer = answer
  }
}

/** An error in the API's own shape. */
export function problem(status: number, message: string, more: object = {}): Answer {
  const documentation_url = 'https://docs.github.com/rest/releases/assets'
  return { status, body: { message, ...more, documentation_url, status: String(status) } }
}

export function notFound(): Refusal {
  return new Refusal(problem(404, 'Not Found'))
}

/** The 422 about one field of an asset. */
export function invalid(code: string, field: string, message?: string): Answer {
  const error = { resource: 'ReleaseAsset', code, field, ...(message === undefined ? {} : { message }) }
  return problem(422, 'Validation Failed', { errors: [error] })
}
