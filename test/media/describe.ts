/**
 * Writes corpus.md and corpus.json: the purpose of each file of the corpus, and what ffprobe-static reports for it.
 * Run it after corpus/make.sh: `node test/media/describe.ts`
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'

const here = import.meta.dirname
const corpus = join(here, 'corpus')
const ffprobe = join(
  fileURLToPath(import.meta.resolve('ffprobe-static')),
  `../bin/${process.platform}/${process.arch}/ffprobe`,
)

/** clip: the header settles the length. fragmented: it cannot. misleading: it must not be trusted. */
type Kind = 'clip' | 'fragmented' | 'misleading' | 'not_a_clip'

const purposes: Record<Kind, Record<string, string>> = {
  clip: {
    '2.9s.mp4': 'just too short',
    '3s.mp4': 'the shortest clip allowed',
    '10.02s.mp4': "an encoder's idea of 10 s",
    '10.40s.mp4': 'too long to follow the image',
    '30.03s.mp4': "900 frames at 29.97 fps: an encoder's idea of 30 s",
    '31s.mp4': 'too long for any orientation',
    'anamorphic.mp4': 'pixels twice as wide as high',
    'av1.mp4': 'AV1',
    'b-frames.mp4': 'frames stored out of order; an edit list that begins where the first is shown',
    'chapters.mp4': 'a chapter track',
    'cover.mp4': 'a cover picture among the tags, which ffprobe lists as a second video',
    'edge-3850x340.mp4': 'both sides exactly at their limit',
    'edit-list.mp4': 'a trim without re-encoding: the first 1.3 s are stored and not shown',
    'header-beyond-64k.mp4': 'the header comes before the media, but behind 66,000 unused bytes',
    'header-first.mov': 'QuickTime, the header first',
    'header-first.mp4': 'a typical clip: the header first, H.264 and AAC',
    'header-last-beyond-64k.mp4': 'more than 64 KiB of media before the header',
    'header-last.mp4': 'the header after the media',
    'header-over-64k.mp4': 'a header longer than 64 KiB',
    'hevc.mp4': 'HEVC (hvc1)',
    'large-offsets.mp4': '64-bit size of the media box and 64-bit offsets; the header last, beyond 64 KiB',
    'late-audio.mp4': 'sound that begins 1 s after the picture, and ends 1 s after it',
    'late-video.mp4': 'a picture that begins 1 s after the sound, and ends 1 s after it',
    'longer-audio.mp4': 'sound 1.5 s longer than the picture',
    'metadata-tags.mp4': 'custom tags (mdta keys)',
    'metadata-track.mp4': 'a track of measurements, as from action cameras (gpmd)',
    'no-ftyp.mov': 'QuickTime from before ftyp existed',
    'prores.mov': 'ProRes',
    'rotated-270.mp4': 'rotated by its display matrix: shown 640 wide, 360 high',
    'rotated-90.mp4': 'rotated by its display matrix: shown 640 wide, 360 high',
    'side-320x240.mp4': 'both sides too short',
    'silent.mp4': 'no sound track',
    'subtitles.mp4': 'a subtitle track',
    'timecode.mov': 'a timecode track',
    'two-videos.mp4': 'two video tracks, the second smaller and shorter',
    'vfr.mp4': 'variable frame rate',
    'vp9.mp4': 'VP9',
    'wide-3860x400.mp4': 'one side too long',
  },
  fragmented: {
    'fragmented-40s-claims-1s.mp4': '40 s in fragments, under a header that says 1 s everywhere (mehd too)',
    'fragmented-default-base.mp4': 'offsets relative to each fragment',
    'fragmented-delay-moov.mp4': 'header written with the first fragment, so with edit lists',
    'fragmented-hybrid.mp4': 'the first 2 s in the header, the rest in fragments',
    'fragmented-sidx.mp4': 'an index of the fragments',
    'fragmented.mp4': 'an empty header, then fragments',
  },
  misleading: {
    'mvhd-all-ones.mp4': 'a movie duration of 0xffffffff, which means unknown',
    'zero-duration.mp4': 'a movie duration of 0 over 5 s of media',
  },
  not_a_clip: {
    'audio-only.mp4': 'sound without a picture',
    'clip.avi': 'AVI',
    'clip.gif': 'an animated GIF',
    'clip.mkv': 'Matroska',
    'clip.webm': 'WebM',
    'lfs-pointer.txt': 'the pointer that a checkout without Git LFS contains in place of a clip',
    'notes.txt': 'text',
    'page.html': 'a page, as served when a link needs a login',
    'playlist.m3u8': 'a playlist that points at a local file and a server',
  },
}

const Probe = v.object({
  format: v.optional(v.object({ format_name: v.string(), duration: v.optional(v.string()) })),
  streams: v.optional(
    v.array(
      v.object({
        codec_type: v.optional(v.string()),
        codec_name: v.optional(v.string()),
        width: v.optional(v.number()),
        height: v.optional(v.number()),
      }),
    ),
    [],
  ),
})

/** The report of ffprobe-static on a file; empty if it cannot read the file. */
function probe(path: string): v.InferOutput<typeof Probe> {
  try {
    const shown = ['-show_entries', 'format=format_name,duration:stream=codec_type,codec_name,width,height']
    const out = execFileSync(ffprobe, ['-v', 'quiet', ...shown, '-of', 'json', path], { encoding: 'utf8' })
    return v.parse(Probe, JSON.parse(out))
  } catch (error) {
    if (error instanceof Error && 'status' in error && error.status === 1) return { streams: [] }
    throw error
  }
}

function describe(kind: Kind, file: string, purpose: string) {
  const path = join(corpus, file)
  const { format, streams } = probe(path)
  const video = streams.find((stream) => stream.codec_type === 'video')
  return {
    file,
    kind,
    purpose,
    bytes: statSync(path).size,
    fragmented: kind === 'fragmented',
    duration_seconds: format?.duration === undefined ? null : Number(format.duration),
    format: format?.format_name ?? null,
    video_codec: video?.codec_name ?? null,
    width: video?.width ?? null,
    height: video?.height ?? null,
  }
}

const kinds: Kind[] = ['clip', 'fragmented', 'misleading', 'not_a_clip']
const rows = kinds.flatMap((kind) =>
  Object.entries(purposes[kind]).map(([file, purpose]) => describe(kind, file, purpose)),
)

const makers = ['boxes.py', 'make.sh']
const forgotten = readdirSync(corpus).filter(
  (name) => !makers.includes(name) && !rows.some((row) => row.file === name),
)
if (forgotten.length > 0)
  throw new Error(`add the purpose of these files to ${basename(import.meta.filename)}: ${forgotten}`)

const number = new Intl.NumberFormat('en')
const columns = ['file', 'purpose', 'duration, s', 'video', 'stored size', 'bytes']
const rightAligned = ['duration, s', 'bytes']

const cells = rows.map((row) => [
  `\`${row.file}\``,
  row.purpose,
  row.duration_seconds === null ? '–' : row.duration_seconds.toFixed(3),
  row.video_codec ?? '–',
  row.width === null ? '–' : `${row.width}×${row.height}`,
  number.format(row.bytes),
])

/** The table of one kind, with columns padded for the formatter of this project. */
function table(kind: Kind): string {
  const body = cells.filter((_, index) => rows[index]?.kind === kind)
  const widths = columns.map((name, at) =>
    Math.max(name.length, ...body.map((line) => line[at]?.length ?? 0)),
  )
  const pad = (text: string, at: number) => {
    const right = rightAligned.includes(columns[at] ?? '')
    return right ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)
  }
  const rule = widths.map((width, at) =>
    rightAligned.includes(columns[at] ?? '') ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width),
  )
  return [columns.map(pad), rule, ...body.map((line) => line.map(pad))]
    .map((line) => `| ${line.join(' | ')} |`)
    .join('\n')
}

writeFileSync(
  join(here, 'corpus.md'),
  `# The corpus

Written by \`describe.ts\`; the files are made by \`corpus/make.sh\`. Duration (\`format.duration\`), codec and size are as
reported by ffprobe-static; a dash means that it reports nothing.

## Clips whose header settles the length

${table('clip')}

## Fragmented: the header cannot know the length

${table('fragmented')}

## Headers that must not be trusted

${table('misleading')}

## Files that are not clips

Text that ffprobe takes for a picture (\`ansi\`) is why it is limited to real media demuxers.

${table('not_a_clip')}
`,
)
writeFileSync(join(here, 'corpus.json'), `${JSON.stringify(rows, null, 2)}\n`)
