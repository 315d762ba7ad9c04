/** Types for the files of undici that undici.ts imports individually. */

declare module 'undici/lib/api/index.js' {
  import type { Dispatcher } from 'undici'

  const api: Pick<Dispatcher, 'connect' | 'request'>
  export default api
}

declare module 'undici/lib/dispatcher/dispatcher.js' {
  export { Dispatcher as default } from 'undici'
}

declare module 'undici/lib/dispatcher/env-http-proxy-agent.js' {
  export { EnvHttpProxyAgent as default } from 'undici'
}

declare module 'undici/lib/dispatcher/pool.js' {
  export { Pool as default } from 'undici'
}

declare module 'undici/lib/interceptor/redirect.js' {
  import type { interceptors } from 'undici'

  const redirect: typeof interceptors.redirect
  export default redirect
}

declare module 'undici/lib/interceptor/retry.js' {
  import type { interceptors } from 'undici'

  const retry: typeof interceptors.retry
  export default retry
}
