/**
 * The job summary: the result first, then what was asked for and found, then the checks. Text from outside
 * stands in HTML blocks only, where nothing but HTML counts, and is escaped for them.
 */
import type { Failure, FailureReason } from '../failure.ts'
import { formatUsd, withoutQuery } from '../format.ts'
import type { Inputs } from '../inputs.ts'
import { isPublicAddress, literalAddress } from '../network/address.ts'
import { checks } from '../preflight/preflight.ts'
import { describeClip, describeImage, describeRequest } from './describe.ts'
import { escapeHtml } from './escape.ts'
import type { Report } from './report.ts'

/** Longest prompt or message that a summary shows, in characters; the whole summary may have 1 MiB. */
const TEXT_LIMIT = 1000
const CODE_LIMIT = 4000
const LIST_LIMIT = 50

/** Renders the summary of a run as GitHub-flavoured Markdown. */
export function renderSummary(report: Report): string {
  const { inputs } = report
  const parts = [renderPicture(report), renderEnd(report), list('⚠️ ', report.warnings)]
  if (inputs) parts.push(renderRequest(inputs, report), renderChecks(report))
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

function renderEnd({ end, estimatedCost }: Report): string {
  const cost = estimatedCost === null ? '' : ` Estimated cost: <b>${formatUsd(estimatedCost)}</b>.`
  if (end.kind === 'failed') return renderFailure(end.failure)
  if (end.kind === 'dry_run') {
    return [
      '## Kling motion control: dry run',
      `<p>This is the request that would be sent. Nothing was submitted and nothing is billed.${cost}</p>`,
      code('json', describeRequest(end.url, end.request)),
    ].join('\n\n')
  }
  const replay = end.replayed
    ? ' APIMart knew it already from an earlier, identical request: nothing new is expected to be billed, and it may be done.'
    : ''
  return [
    '## Kling motion control: submitted',
    `<p>Task <code>${escapeHtml(end.taskId, TEXT_LIMIT)}</code> is <b>submitted</b>.${replay}${cost}</p>`,
    '<p>APIMart renders it now, which usually takes 2 to 30 minutes and goes on after this job. Later steps find the id in the output <code>task_id</code>. This asks for its state and, once it is completed, the link to the video:</p>',
    code('sh', [`curl -H "Authorization: Bearer $APIMART_API_KEY" "${end.url}"`]),
  ].join('\n\n')
}

/** What each reason means for the user's money, as the headline. */
function headline(reason: FailureReason): string {
  if (reason === 'submission_uncertain') return 'a task may be running'
  if (reason === 'internal_error') return 'stopped by a defect'
  return reason === 'cancelled' ? 'cancelled' : 'not submitted'
}

function renderFailure({ reason, problems, remedy }: Failure): string {
  return [
    `## Kling motion control: ${headline(reason)}`,
    list('', problems),
    `<p><b>What to do:</b> ${escapeHtml(remedy, TEXT_LIMIT)}</p>`,
    `<p>failure_reason: <code>${reason}</code></p>`,
  ].join('\n\n')
}

function renderRequest(inputs: Inputs, { preflight, estimatedCost }: Report): string {
  const image = preflight?.image.kind === 'read' ? describeImage(preflight.image.facts) : notRead(preflight)
  const clip = preflight?.clip.kind === 'read' ? describeClip(preflight.clip.facts) : notRead(preflight)
  const { price_per_second, max_cost } = inputs
  const rows = [
    ['image_url', withoutQuery(inputs.image_url), image],
    ['video_url', withoutQuery(inputs.video_url), clip],
    ['character_orientation', inputs.character_orientation, ''],
    ['mode', inputs.mode, ''],
    ['keep_original_sound', inputs.keep_original_sound, ''],
    ['prompt', inputs.prompt || 'none', ''],
    ['model', inputs.model, ''],
    ['watermark', String(inputs.watermark), ''],
  ]
  if (price_per_second !== null) {
    const estimate = estimatedCost === null ? '' : `estimate ${formatUsd(estimatedCost)}`
    rows.push(['price_per_second', formatUsd(price_per_second), estimate])
  }
  if (max_cost !== null) rows.push(['max_cost', formatUsd(max_cost), ''])
  return `### What was asked for, what was found\n\n${table(['Input', 'Value', 'Found'], rows)}`
}

function notRead(preflight: Report['preflight']): string {
  return preflight === null ? 'not looked at' : 'not usable'
}

const MARKS = { pass: '✅', warn: '⚠️ warning', refuse: '❌ refused' } as const

/** Every rule with its limit, what is wrong first. */
function renderChecks({ preflight }: Report): string {
  const all = preflight ? checks(preflight) : []
  if (all.length === 0) return ''
  const rows = (['refuse', 'warn', 'pass'] as const).flatMap((verdict) =>
    all
      .filter((check) => check.verdict === verdict)
      .map(({ input, rule, found, limit }) => [input, rule, found, limit, MARKS[verdict]]),
  )
  return `### Checks\n\n${table(['Reference', 'Rule', 'Found', 'Limit', 'Result'], rows)}`
}

/** The reference image beside the headline, where its address is public and carries no secret. */
function renderPicture({ inputs, preflight }: Report): string {
  if (!inputs || preflight?.image.kind !== 'read') return ''
  const url = new URL(inputs.image_url)
  const address = literalAddress(url)
  const isPublic = address === null ? url.hostname.includes('.') : isPublicAddress(address)
  if (url.protocol !== 'https:' || !isPublic || url.search !== '' || url.hash !== '') return ''
  return `<img src="${escapeHtml(url.href, url.href.length)}" alt="reference image" height="140" align="right">`
}

/** An HTML list of sentences, each behind a mark; nothing when there are none. */
function list(mark: string, sentences: readonly string[]): string {
  if (sentences.length === 0) return ''
  const items = sentences
    .slice(0, LIST_LIMIT)
    .map((text) => `<li>${mark}${escapeHtml(text, TEXT_LIMIT)}</li>`)
  return ['<ul>', ...items, '</ul>'].join('\n')
}

/** An HTML table; every cell is text. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (tag: string, cells: readonly string[]) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell, TEXT_LIMIT)}</${tag}>`).join('')}</tr>`
  return ['<table>', line('th', head), ...rows.map((row) => line('td', row)), '</table>'].join('\n')
}

/** Lines of code, their indents kept. */
function code(language: string, lines: readonly string[]): string {
  const escaped = lines.map((line) => /^ */.exec(line)?.[0] + escapeHtml(line, CODE_LIMIT))
  return `<pre lang="${language}">${escaped.join('\n')}</pre>`
}
