/**
 * One way to determine a clip's length from its URL: `client.ts <way> <url>` prints milliseconds, without Node's
 * startup. It runs in its own process, so all three ways start alike, and the media host has its process to itself.
 */
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stream } from 'undici'
// Loaded beforehand, as in the bundle: only reading a clip is timed, not loading modules.
import 'file-type'
import '../../src/media/header.ts'
import { openNetwork, TIMEOUTS } from '../../src/network/network.ts'
import { readClip } from '../../src/references/clip.ts'
import { CLIP_MAX_BYTES } from '../../src/references/limits.ts'
import { remoteReference } from '../../src/references/reference.ts'
import { probe } from '../fakes/sandbox/ffprobe.ts'

const WAYS: Record<string, (url: string, folder: string) => Promise<number | undefined>> = {
  async preflight(url, folder) {
    await using network = openNetwork(new URL('http://127.0.0.1'), TIMEOUTS)
    const inputs = { duration_probe: 'header', ffprobe_path: '' } as const
    const reference = remoteReference('video_url', url, CLIP_MAX_BYTES)
    const signal = new AbortController().signal
    return (await readClip(reference, inputs, { network, folder, signal })).duration_seconds
  },
  async ffprobe(url) {
    return (await probe(url, undefined, 'http,tcp')).seconds
  },
  async download(url, folder) {
    const file = join(folder, 'clip')
    await stream(url, { method: 'GET' }, () => createWriteStream(file))
    return (await probe(file)).seconds
  },
}

const [way = '', url = ''] = process.argv.slice(2)
const folder = await mkdtemp(join(tmpdir(), 'kling-bench-'))
const start = performance.now()
const seconds = await WAYS[way]?.(url, folder)
const milliseconds = performance.now() - start
await rm(folder, { recursive: true })
if (seconds === undefined) throw new Error(`${way} found no length in ${url}`)
// undici's open connections must not keep this process running.
process.stdout.write(JSON.stringify({ seconds, milliseconds }), () => process.exit())
