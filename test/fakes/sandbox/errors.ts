const TYPES: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'payment_required',
  403: 'permission_error',
  404: 'not_found_error',
  409: 'idempotency_error',
  429: 'rate_limit_error',
  500: 'server_error',
  502: 'bad_gateway',
  503: 'service_unavailable',
}

/** The documented error body; `code` is the status unless the API has a name for the case. */
export function errorBody(status: number, message: string, code: number | string = status) {
  return { error: { code, message, type: TYPES[status] ?? 'apimart_error' } }
}

/** The error body that the live API returns for a wrong key. */
export function liveErrorBody(message: string) {
  return {
    error: {
      code: '',
      message: `${message} (request id: 20260101000000000)`,
      param: '',
      type: 'apimart_error',
    },
  }
}

/** Thrown by the sandbox's checks: the response has this status and body, and nothing is accepted. */
export class Refusal extends Error {
  readonly status: number
  readonly body: unknown

  constructor(status: number, message: string, body: unknown = errorBody(status, message)) {
    super(message)
    this.status = status
    this.body = body
  }
}
