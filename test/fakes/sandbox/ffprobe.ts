import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import { which } from '@actions/io'
import * as v from 'valibot'

const bundled = v.parse(v.object({ path: v.string() }), createRequire(import.meta.url)('ffprobe-static')).path

/** The ffprobe of the npm package ffprobe-static, or the machine's own on Linux arm64, which the package lacks. */
export const ffprobePath = existsSync(bundled) ? bundled : await which('ffprobe', true)

const Report = v.object({
  streams: v.array(v.object({ codec_type: v.optional(v.string()), codec_name: v.optional(v.string()) })),
  format: v.object({ duration: v.optional(v.pipe(v.string(), v.transform(Number))) }),
})

interface Probed {
  /** Length in seconds; undefined if ffprobe cannot determine it. */
  readonly seconds: number | undefined
  /** Codec of the first video stream; undefined if there is none. */
  readonly videoCodec: string | undefined
}

/** Probes a file with ffprobe, restricted to these protocols. Rejects if it is not media or `signal` aborts. */
export async function probe(input: string, signal?: AbortSignal, protocols = 'file'): Promise<Probed> {
  const questions = ['-show_entries', 'format=duration:stream=codec_type,codec_name', '-of', 'json']
  const { stdout } = await promisify(execFile)(
    ffprobePath,
    ['-v', 'error', '-protocol_whitelist', protocols, ...questions, input],
    { killSignal: 'SIGKILL', ...(signal && { signal }) },
  )
  const { streams, format } = v.parse(Report, JSON.parse(stdout))
  return {
    seconds: format.duration,
    videoCodec: streams.find(({ codec_type }) => codec_type === 'video')?.codec_name,
  }
}
