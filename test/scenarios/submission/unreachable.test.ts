/**
 * Why the paid request does not reach APIMart: nothing is listening, the host name is unknown, the certificate is not
 * trusted, or a proxy refuses.
 */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, createServer as createTcpServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { describe, type ExpectStatic, it, vi } from 'vitest'
import { bridge } from '../../fakes/network/company-proxy.ts'
import { listening } from '../../fakes/network/listening.ts'
import { selfSigned } from '../../fakes/network/self-signed.ts'
import {
  DIRECTLY,
  expectFailure,
  expectSubmitted,
  type Run,
  startScenario,
  submissions,
} from '../scenario.ts'

const REFUSES = 'the host, or a proxy in between, refused the connection (ECONNREFUSED)'
const neverSent = (cause: string) =>
  `APIMart could not be reached, so the request was never sent: ${cause}. Check api_base_url and the proxy settings.`

function expectNeverSent(run: Run, cause: string, tries: number, expect: ExpectStatic): void {
  const often = tries === 4 ? ' Gave up after 4 tries.' : ''
  expect(expectFailure(run, 'request_rejected')).toBe(`${neverSent(cause)}${often}`)
  expect(run.log.match(/ Retrying with the same Idempotency-Key in /g) ?? []).toHaveLength(tries - 1)
  expect(run.outputs).toEqual({ failure_reason: 'request_rejected' })
}

describe('a submission', { concurrent: true }, () => {
  it('a submission to a closed port is retried and then reported as never sent', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 100 })
    const run = await scenario.run({ ...DIRECTLY, api_base_url: `http://127.0.0.1:${await closedPort()}` })
    expectNeverSent(run, REFUSES, 4, expect)
  })

  it('a submission to an unknown host name is reported as never sent and is not retried', async ({
    expect,
  }) => {
    await using scenario = await startScenario({ speed: 100 })
    // Longer than a DNS label may be, so no name server is queried.
    const name = `${'gateway'.repeat(10)}.invalid`
    const run = await scenario.run({ ...DIRECTLY, api_base_url: `https://${name}` })
    expectNeverSent(run, `the host name ${name} does not exist (ENOTFOUND)`, 1, expect)
  })

  it('a submission to a host with a self-signed certificate is sent only when the certificate is trusted', async ({
    expect,
  }) => {
    await using way = await secured()
    const distrusting = await way.run({ NODE_EXTRA_CA_CERTS: undefined })
    expectNeverSent(distrusting, 'its certificate is self-signed (DEPTH_ZERO_SELF_SIGNED_CERT)', 1, expect)
    expect(way.scenario.apiRequests()).toEqual([])
    expectSubmitted(await way.run())
    expect(submissions(way.scenario)).toHaveLength(1)
  })

  it('a submission to a host that hangs up before the handshake succeeds on the retry', async ({
    expect,
  }) => {
    await using way = await secured({ leavesOnce: true })
    const run = await way.run()
    expectSubmitted(run)
    expect(run.log).toMatch(/so the request was never sent: .* Retrying with/)
    expect(submissions(way.scenario)).toHaveLength(1)
    expect(way.host.connections).toBe(2)
  })
})

describe('a submission through a proxy', { concurrent: true }, () => {
  it.for([
    { statuses: [407], reported: 407, tries: 1 },
    { statuses: [403], reported: 403, tries: 1 },
    { statuses: [502], reported: 502, tries: 4 },
    { statuses: [503, 502, 503, 429], reported: 429, tries: 4 },
    { statuses: [502, 407], reported: 407, tries: 2 },
  ])(
    'a submission through a proxy that responds with $statuses is never sent (tries: $tries)',
    async ({ statuses, reported, tries }, { expect }) => {
      await using way = await secured()
      await using between = await proxy(statuses)
      const run = await way.run({ HTTPS_PROXY: between.url })
      expectNeverSent(run, `the proxy refuses the connection (${reported})`, tries, expect)
      expect(between.asked).toEqual(Array(tries).fill(`CONNECT ${way.authority}`))
      expect(way.host.connections).toBe(0)
    },
  )

  it('a submission through a proxy that responds with 502 once succeeds on the second try', async ({
    expect,
  }) => {
    await using way = await secured()
    await using between = await proxy([502, 200])
    const run = await way.run({ HTTPS_PROXY: between.url })
    expectSubmitted(run)
    expect(run.log).toContain(
      `\n${neverSent('the proxy refuses the connection (502)')} Retrying with the same Idempotency-Key in `,
    )
    expect(between.asked).toHaveLength(2)
    expect(submissions(way.scenario)).toHaveLength(1)
  })

  it('a submission is uncertain when the proxy drops the tunnel after the body', async ({ expect }) => {
    await using way = await secured()
    await using between = await proxy([502, 200])
    const { faults, tasks } = way.scenario.sandbox
    faults.next('submit', { kind: 'accept-then', fault: { kind: 'silent' } })
    const ended = way.run({ HTTPS_PROXY: between.url })
    await vi.waitUntil(() => tasks.length === 1, { timeout: 20_000, interval: 5 })
    between.drop()
    const run = await ended
    expect(expectFailure(run, 'submission_uncertain')).toMatch(
      /^The response to the submission was lost: the server closed the connection \(\w+\)\. It is unknown whether a task was accepted\.\nThe request with the Idempotency-Key <idempotency key> went to https:\S+ at \S+\. /,
    )
    expect(run.outputs).toEqual({ failure_reason: 'submission_uncertain' })
    expect(submissions(way.scenario)).toHaveLength(1)
    // The first try was never sent.
    expect(between.asked).toHaveLength(2)
  })

  it('a submission through a proxy that is not listening is never sent and does not bypass it', async ({
    expect,
  }) => {
    await using way = await secured()
    const run = await way.run({ HTTPS_PROXY: `http://127.0.0.1:${await closedPort()}` })
    expectNeverSent(run, REFUSES, 4, expect)
    expect(way.host.connections).toBe(0)
  })
})

/** A scenario whose API is reachable only over TLS. Its steps trust the certificate unless `env` says otherwise. */
async function secured({ leavesOnce = false } = {}) {
  const scenario = await startScenario({ speed: 100 })
  const identity = selfSigned()
  const { port } = new URL(scenario.sandbox.apiUrl)
  const tls = createTlsServer(identity, (socket) => bridge(socket, connect(Number(port), '127.0.0.1')))
  tls.on('tlsClientError', () => {})
  let leaves = leavesOnce
  const host = await listening(
    createTcpServer((socket) => {
      if (leaves) socket.resetAndDestroy()
      else tls.emit('connection', socket)
      leaves = false
    }),
  )
  const root = join(scenario.folder, 'root.pem')
  await writeFile(root, identity.cert)
  const authority = `127.0.0.1:${host.port}`
  return {
    scenario,
    host,
    authority,
    run: (env: Record<string, string | undefined> = {}) =>
      scenario.run(
        { ...DIRECTLY, api_base_url: `https://${authority}` },
        { env: { NODE_EXTRA_CA_CERTS: root, ...env } },
      ),
    async [Symbol.asyncDispose]() {
      await scenario[Symbol.asyncDispose]()
      await host[Symbol.asyncDispose]()
    },
  }
}

/** A proxy that responds to each CONNECT with the next of these statuses, or with the last one; 200 opens a tunnel. */
async function proxy(statuses: readonly number[]) {
  const asked: string[] = []
  const tunnels: Socket[] = []
  const server = createServer()
  server.on('connect', (incoming: IncomingMessage, client: Socket) => {
    const status = statuses[Math.min(asked.length, statuses.length - 1)]
    asked.push(`${incoming.method} ${incoming.url}`)
    if (status !== 200) {
      client.on('error', () => {})
      client.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`)
      return
    }
    const [name, port] = (incoming.url ?? '').split(':')
    const onward = connect(Number(port), name, () => client.write('HTTP/1.1 200 OK\r\n\r\n'))
    bridge(client, onward)
    tunnels.push(client, onward)
  })
  const { port, [Symbol.asyncDispose]: close } = await listening(server)
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    drop: () => {
      for (const socket of tunnels) socket.destroy()
    },
    [Symbol.asyncDispose]: close,
  }
}

/** A local port on which nothing is listening. */
async function closedPort(): Promise<number> {
  const server = createTcpServer()
  const { port } = await listening(server)
  server.close()
  await once(server, 'close')
  return port
}
