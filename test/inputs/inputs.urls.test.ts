import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { submissionUrl } from '../../src/apimart/request.ts'
import { inputsWith, problemsOf } from '../harness/inputs.ts'

describe.each(['image_url', 'video_url'] as const)('%s', (name) => {
  it.each([
    'https://example.com/a.png',
    'http://example.com/a.png',
    'https://cdn.example.com/a.png?X-Amz-Signature=abc&x=%2F',
    'https://raw.githubusercontent.com/octo/videos/0123abc/a%20b.png',
    'https://例え.jp/絵.png',
    'https://example.com/@2x/user@example.png',
    'HTTPS://EXAMPLE.COM/A.PNG',
  ])(`${name} keeps a URL as written: %s`, (url) =>
    expect(inputsWith({ [name]: url })[name]).toEqual({ kind: 'url', url }),
  )

  it.each(['a.png', './media/a b.png', '/github/workspace/a.png', '//example.com/a.png', 'C:\\media\\a.png'])(
    `${name} accepts the path of a file without checking that it exists: %s`,
    (path) => expect(inputsWith({ [name]: path })[name]).toEqual({ kind: 'file', path }),
  )

  it.each([
    '',
    'https://',
    'https://exa mple.com/a.png',
    'file:///etc/passwd',
    'data:image/png;base64,AAAA',
    'ftp://example.com/a.png',
    's3://bucket/a.png',
    'javascript:alert(1)',
    'https://user@example.com/a.png',
    'https://user:secret@example.com/a.png',
  ])(`${name} refuses %j and names the remedy`, (url) => {
    const problems = problemsOf({ [name]: url })
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(`${name}${url === '' ? '' : ' "'}`)
    expect(problems[0]).toMatch(
      /Use the direct https URL of the reference (image|clip), readable without a login, or the path of a file in the workspace\./,
    )
  })
})

describe('problems with a reference', () => {
  it('a problem with a reference says what is wrong', () => {
    const urls = ['', 'https://', 'ftp://example.com/a.png', 'https://user:secret@example.com/a.png']
    expect(urls.flatMap((image_url) => problemsOf({ image_url }))).toMatchInlineSnapshot(`
      [
        "image_url: It is required. Use the direct https URL of the reference image, readable without a login, or the path of a file in the workspace.",
        "image_url "https://": It is not a URL. Use the direct https URL of the reference image, readable without a login, or the path of a file in the workspace.",
        "image_url "ftp://example.com/a.png": Only https and http URLs can be fetched, not "ftp:". Use the direct https URL of the reference image, readable without a login, or the path of a file in the workspace.",
        "image_url "https://…@example.com/a.png": It contains a user name or password, which would be passed to the API. Use the direct https URL of the reference image, readable without a login, or the path of a file in the workspace.",
      ]
    `)
  })

  it.each([
    'https://user:secret@example.com/a.png',
    'https://user:half@secret@example.com/a.png',
    'https://user:a/secret@example.com/a.png',
    'https:user:secret@example.com/a.png',
    'https:/user:secret@example.com/a.png',
    'https:\\\\user:secret@example.com/a.png',
    'https:///user:secret@example.com/a.png',
    'ftp://user:secret@example.com/a.png',
    'git+ssh://user:secret@example.com/a.png',
    'ssh://user:secret@example.com/a.png?x',
    'https://user:secret@exa mple.com/a.png',
  ])('a problem never shows the password in %s', (url) => {
    for (const name of ['image_url', 'video_url', 'api_base_url']) {
      const problems = problemsOf({ [name]: url }).join('\n')
      expect(problems).not.toBe('')
      expect(problems).not.toContain('secret')
    }
  })

  it.each([
    'ftp://example.com/a.png?X-Signature=secret',
    'https://user@example.com/a.png?X-Signature=secret#secret',
    'https://exa mple.com/a.png#secret',
    'https://example.com:99999/a?b\nsecret',
  ])('a problem never shows the signed query of %s', (url) => {
    for (const name of ['image_url', 'video_url', 'api_base_url']) {
      const problems = problemsOf({ [name]: url }).join('\n')
      expect(problems).not.toBe('')
      expect(problems).not.toContain('secret')
    }
  })

  it('a problem never shows a password that a URL parser finds, for any user name, scheme and slashes', () => {
    const scheme = fc.constantFrom('https', 'http', 'ftp', 'ssh', 'git+ssh', 'x-y.z')
    const slashes = fc.constantFrom('//', '', '/', '///', '\\\\', '/\\')
    const part = fc.stringMatching(/^[a-z0-9@:%.~!$&'()*+,;=-]{0,8}$/)
    fc.assert(
      fc.property(scheme, slashes, part, part, (before, separator, user, decoy) => {
        const url = `${before}:${separator}${user}:${decoy}hunter2@example.com/a.png`
        fc.pre(URL.parse(url)?.password.includes('hunter2') ?? false)
        expect(problemsOf({ image_url: url }).join('\n')).not.toContain('hunter2')
      }),
    )
  })
})

describe('api_base_url', () => {
  it.each([
    ['https://api.apimart.ai', 'https://api.apimart.ai/v1/videos/generations'],
    ['https://api.apimart.ai/', 'https://api.apimart.ai/v1/videos/generations'],
    ['https://gateway.example.com/apimart', 'https://gateway.example.com/apimart/v1/videos/generations'],
    ['https://gateway.example.com/apimart///', 'https://gateway.example.com/apimart/v1/videos/generations'],
    ['https://gateway.example.com:8443/v10', 'https://gateway.example.com:8443/v10/v1/videos/generations'],
    ['https://93.184.216.34', 'https://93.184.216.34/v1/videos/generations'],
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080/v1/videos/generations'],
    ['http://10.1.2.3', 'http://10.1.2.3/v1/videos/generations'],
    ['http://[::1]:8080', 'http://[::1]:8080/v1/videos/generations'],
    ['http://[fd00::1]', 'http://[fd00::1]/v1/videos/generations'],
    ['http://localhost:8080', 'http://localhost:8080/v1/videos/generations'],
    ['http://gateway.internal', 'http://gateway.internal/v1/videos/generations'],
  ])('api_base_url %s is accepted', (given, posted) => {
    expect(submissionUrl(inputsWith({ api_base_url: given }).api_base_url)).toBe(posted)
  })

  it.each(['https://api.apimart.ai?', 'https://api.apimart.ai/#', 'https://gateway.example.com/apimart?#'])(
    'api_base_url %s is refused because of its empty query or fragment',
    (given) => {
      expect(problemsOf({ api_base_url: given })).toEqual([expect.stringContaining('query or fragment')])
    },
  )

  it.each([
    ['', 'It is not an https URL'],
    ['api.apimart.ai', 'It is not an https URL'],
    ['ftp://api.apimart.ai', 'It is not an https URL'],
    ['https://api.apimart.ai/v1', 'The action adds /v1 itself'],
    ['https://api.apimart.ai/v1/', 'The action adds /v1 itself'],
    ['https://gateway.example.com/apimart/v1', 'The action adds /v1 itself'],
    ['https://api.apimart.ai?key=secret', 'It contains a user name, password, query or fragment'],
    ['https://api.apimart.ai#secret', 'It contains a user name, password, query or fragment'],
    ['https://user:secret@api.apimart.ai', 'It contains a user name, password, query or fragment'],
    ['https://user@api.apimart.ai', 'It contains a user name, password, query or fragment'],
    [
      'http://93.184.216.34',
      'Plain http sends the key unencrypted, so it is allowed only for private addresses',
    ],
    [
      'http://[2606:4700::1111]',
      'Plain http sends the key unencrypted, so it is allowed only for private addresses',
    ],
    [
      'http://[::ffff:93.184.216.34]',
      'Plain http sends the key unencrypted, so it is allowed only for private addresses',
    ],
    [
      'http://[64:ff9b::808:808]',
      'Plain http sends the key unencrypted, so it is allowed only for private addresses',
    ],
    [
      'http://0x5db8d822',
      'Plain http sends the key unencrypted, so it is allowed only for private addresses',
    ],
    [
      'http://1572395042',
      'Plain http sends the key unencrypted, so it is allowed only for private addresses',
    ],
  ])('api_base_url %j is refused: %s', (given, reason) => {
    const problems = problemsOf({ api_base_url: given })
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(/^api_base_url/)
    expect(problems[0]).toContain(
      `${reason}. Use https://api.apimart.ai or the https base URL of your gateway, without /v1.`,
    )
    expect(problems[0]).not.toContain('secret')
  })
})
