/**
 * Whole runs through unusual networks: proxies of every kind, and hosts with only IPv6.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { describe, type ExpectStatic, it } from 'vitest'
import { startGitHub } from '../../fakes/github/server.ts'
import { bridge, type ProxyOptions, startProxy } from '../../fakes/network/company-proxy.ts'
import { listening } from '../../fakes/network/listening.ts'
import { selfSigned, signedByRoot } from '../../fakes/network/self-signed.ts'
import { GITHUB_TOKEN } from '../../harness/action.ts'
import {
  DEMO,
  DIRECTLY,
  expectCompleted,
  expectFailure,
  expectSubmitted,
  type Run,
  startScenario,
  submissions,
} from '../scenario.ts'

const NOBODY = 'http://127.0.0.1:1'
const UNKNOWN_ROOT =
  /: its certificate is signed by an unknown root \(NODE_EXTRA_CA_CERTS adds one\) \([A-Z_]+\)\. /
const PASSWORD = 'p%40ss-0123'

/**
 * A scenario whose API speaks TLS, and a proxy. Steps trust the certificates of both, and `root`, unless `env` says
 * otherwise.
 */
async function behind(options: ProxyOptions & { root?: string } = {}) {
  const scenario = await startScenario({ timing: { queue: 0, perClipSecond: 0 }, speed: 300 })
  const identity = selfSigned()
  const target = new URL(scenario.sandbox.apiUrl)
  const tls = createTlsServer(identity, (socket) =>
    bridge(socket, connect(Number(target.port), target.hostname)),
  )
  const gateway = await listening(tls.on('tlsClientError', () => {}))
  const through = await startProxy(options)
  const trusted = join(scenario.folder, 'trusted.pem')
  await writeFile(trusted, [identity.cert, options.root].join('\n'))
  const authority = `127.0.0.1:${gateway.port}`
  return {
    scenario,
    gateway,
    through,
    /** The authority of the API, as CONNECT names it. */
    authority,
    run: (inputs: Record<string, string>, env: Record<string, string | undefined> = {}) =>
      scenario.run(
        { api_base_url: `https://${authority}`, ...inputs },
        {
          workspace: scenario.folder,
          env: { NODE_EXTRA_CA_CERTS: trusted, HTTP_PROXY: through.url, HTTPS_PROXY: through.url, ...env },
        },
      ),
    async [Symbol.asyncDispose]() {
      await scenario[Symbol.asyncDispose]()
      for (const server of [gateway, through]) await server[Symbol.asyncDispose]()
    },
  }
}

type Way = Awaited<ReturnType<typeof behind>>

/** Checks that a run shows the password of its proxy in no form. */
function expectSecret(run: Run, expect: ExpectStatic): void {
  const said = [run.raw.log, run.summary, JSON.stringify(run.outputs)].join('\n')
  const plain = decodeURIComponent(PASSWORD)
  for (const form of [PASSWORD, plain, Buffer.from(`runner:${plain}`).toString('base64')])
    expect(said).not.toContain(form)
}

/** The action's requests to the media host. */
const mediaRequests = ({ scenario }: Way) =>
  scenario.sandbox.requests.filter(({ listener, by }) => listener === 'media' && by === 'client')

const company = signedByRoot()
const { root } = company
const PROXIES: readonly (readonly [string, Parameters<typeof behind>[0]])[] = [
  ['a plain proxy', {}],
  ['a proxy with a password', { credentials: `runner:${PASSWORD}` }],
  ['a proxy that speaks TLS', { identity: company, root }],
  [
    'a proxy that speaks TLS and has a password',
    { identity: company, root, credentials: `runner:${PASSWORD}` },
  ],
  ['a proxy that intercepts TLS', { intercepts: company, root }],
  ['a proxy on IPv6', { address: '::1' }],
]

describe('a run', { concurrent: true }, () => {
  it.for(PROXIES)(
    'a run goes through %s from the references to the release and pays once',
    async ([, options], { expect }) => {
      await using way = await behind(options)
      const { scenario, through, authority } = way
      const github = await startGitHub({ token: GITHUB_TOKEN })
      try {
        github.addRelease({ tag: 'v1' })
        const inputs = { wait: 'true', output_path: 'video.mp4', attach_to_release: 'v1' }
        const run = await way.run(inputs, {
          GITHUB_API_URL: github.apiUrl,
          GITHUB_SERVER_URL: github.serverUrl,
        })
        expectCompleted(run)
        expect(await readFile(join(scenario.folder, 'video.mp4'))).not.toHaveLength(0)
        expect(run.outputs.release_asset_url).toBeDefined()
        expect(submissions(scenario)).toHaveLength(1)
        // Nothing bypassed the proxy: one tunnel for each API request, everything else forwarded.
        const tunnels = through.lines.filter((line) => line.startsWith('CONNECT '))
        expect(tunnels).toEqual(scenario.apiRequests().map(() => `CONNECT ${authority}`))
        const forwarded = through.lines.length - tunnels.length
        expect(forwarded).toBe(mediaRequests(way).length + github.requests.length)
        expect(way.gateway.connections).toBe(tunnels.length)
        // The key is in no request line or header, and not readable in a tunnel.
        expect(through.heard).toContain(`CONNECT ${authority}`)
        expect(through.heard).not.toContain(scenario.sandbox.apiKey)
        for (const { headers } of scenario.sandbox.requests)
          expect(headers).not.toHaveProperty('proxy-authorization')
        expectSecret(run, expect)
      } finally {
        await github.close()
      }
    },
  )

  it('a run over plain http goes through the proxy and pays once', async ({ expect }) => {
    await using way = await behind({ credentials: `runner:${PASSWORD}` })
    const { sandbox } = way.scenario
    const run = await way.run({ api_base_url: sandbox.apiUrl, wait: 'true' })
    expectCompleted(run)
    expect(way.through.lines.filter((line) => line.startsWith('POST '))).toEqual([
      `POST ${sandbox.apiUrl}/v1/videos/generations`,
    ])
    expect(submissions(way.scenario)).toHaveLength(1)
    // The proxy sees everything that is not encrypted, so the test above would notice a key in a tunnel's line or
    // header.
    expect(way.through.heard).toContain(sandbox.apiKey)
    expect(way.through.lines).toHaveLength(way.scenario.apiRequests().length + mediaRequests(way).length)
    expectSecret(run, expect)
  })

  it('a run bypasses a dead proxy for the hosts in NO_PROXY', async ({ expect }) => {
    await using way = await behind()
    const dead = { HTTP_PROXY: NOBODY, HTTPS_PROXY: NOBODY }
    expectSubmitted(await way.run({}, { ...dead, no_proxy: 'example.com, 127.0.0.1' }))
    expect(submissions(way.scenario)).toHaveLength(1)
    expect(way.through.heard).toBe('')
  })

  it('a run does not bypass a dead proxy to read references outside NO_PROXY', async ({ expect }) => {
    await using way = await behind()
    const dead = { HTTP_PROXY: NOBODY, HTTPS_PROXY: NOBODY, NO_PROXY: way.authority }
    const problem = expectFailure(await way.run({}, dead), 'reference_unreachable')
    expect(
      problem.match(/the host, or a proxy in between, refused the connection \(ECONNREFUSED\)/g),
    ).toHaveLength(2)
    expect(way.scenario.sandbox.requests).toEqual([])
  })

  it('a run never contacts the metadata service of a cloud, not even through a proxy', async ({ expect }) => {
    await using way = await behind()
    const run = await way.run({
      image_url: 'http://metadata.google.internal/hero.png',
      video_url: 'https://[fd00:ec2::254]/walk.mp4',
    })
    const problem = expectFailure(run, 'reference_unreachable')
    expect(problem).toContain(
      'metadata.google.internal, the metadata service of a cloud, from which neither ',
    )
    expect(problem).toContain('fd00:ec2::254, which is not a public address, so neither ')
    expect([way.through.heard, way.scenario.sandbox.requests]).toEqual(['', []])
  })
})

describe('a submission', { concurrent: true }, () => {
  it.for([
    ['wrong', 'runner:wrong@'],
    ['missing', ''],
  ] as const)(
    'a submission is never sent when the proxy password is %s',
    async ([, credentials], { expect }) => {
      await using way = await behind({ credentials: `runner:${PASSWORD}` })
      const url = way.through.url.replace(/runner:.*@/, credentials)
      const run = await way.run(DIRECTLY, { HTTPS_PROXY: url })
      expect(expectFailure(run, 'request_rejected')).toBe(
        'APIMart could not be reached, so the request was never sent: the proxy refuses the connection (407). Check api_base_url and the proxy settings.',
      )
      expect([way.through.lines, way.through.refused]).toEqual([[], 1])
      expect([way.gateway.connections, way.scenario.sandbox.requests]).toEqual([0, []])
      expect(way.through.heard).not.toContain(way.scenario.sandbox.apiKey)
    },
  )

  it('a submission is never sent when an untrusted proxy intercepts TLS', async ({ expect }) => {
    await using way = await behind({ intercepts: company })
    const problem = expectFailure(await way.run(DIRECTLY), 'request_rejected')
    expect(problem).toMatch(/^APIMart could not be reached, so the request was never sent: /)
    expect(problem).toMatch(UNKNOWN_ROOT)
    expect(way.through.lines).toEqual([`CONNECT ${way.authority}`])
    expect([way.gateway.connections, way.scenario.sandbox.requests]).toEqual([0, []])
  })

  it('a submission succeeds when all hosts have only IPv6', async ({ expect }) => {
    await using scenario = await startScenario()
    const { apiUrl, mediaUrl } = scenario.sandbox
    const front = async (origin: string) => {
      const port = Number(new URL(origin).port)
      return await listening(
        createServer((socket) => bridge(socket, connect(port, '127.0.0.1'))),
        '::1',
      )
    }
    await using api = await front(apiUrl)
    await using media = await front(mediaUrl)
    const at = (path: string) => `http://[::1]:${media.port}/files/${path}`
    const run = await scenario.run({
      api_base_url: `http://[::1]:${api.port}`,
      image_url: at(DEMO.image),
      video_url: at(DEMO.clip),
    })
    expectSubmitted(run)
    expect(run.outputs.duration_seconds).toBeDefined()
    expect(submissions(scenario)).toHaveLength(1)
  })
})
