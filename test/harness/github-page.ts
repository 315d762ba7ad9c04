/**
 * Renders a job summary as a page that looks the way it does on GitHub.
 */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { marked } from 'marked'

/** Renders Markdown as a complete HTML page in GitHub's style. */
export async function renderPage(title: string, markdown: string): Promise<string> {
  const css = await readFile(
    createRequire(import.meta.url).resolve('github-markdown-css/github-markdown-light.css'),
    'utf8',
  )
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>
${css}
body { background: #f6f8fa; margin: 0; padding: 32px; }
.box { max-width: 1012px; margin: auto; border: 1px solid #d1d9e0; border-radius: 6px; background: #fff; }
.box > header { padding: 12px 16px; border-bottom: 1px solid #d1d9e0; background: #f6f8fa; border-radius: 6px 6px 0 0;
  font: 600 14px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; }
.markdown-body { padding: 16px 24px 24px; }
</style>
<div class="box"><header>${title}</header><article class="markdown-body">
${renderMarkdown(markdown)}
</article></div>
</html>
`
}

/** Renders GitHub-flavoured Markdown. */
export function renderMarkdown(markdown: string): string {
  return marked.parse(markdown, { gfm: true, async: false })
}
