/**
 * The links and progress of a task that a run follows.
 */
import { describe, expect, it } from 'vitest'
import { seenIn, unseenTask } from '../../src/apimart/task.ts'
import { readTaskState } from '../../src/apimart/task-state.ts'

const NOW = Date.UTC(2026, 0, 1)

describe('the links of a task', () => {
  const linksOf = (result: unknown, completed?: number) => {
    const found = readTaskState(
      JSON.stringify({ data: { status: 'completed', completed, result } }),
      'task_1',
      [],
    )
    if (found?.status !== 'completed') throw new Error('the task is not completed')
    const task = unseenTask({ id: 'task_1', origin: 'given' }, new URL('https://api.apimart.ai'))
    return seenIn(found, NOW, task).seen?.links
  }
  const at = (seconds: number) => seconds * 1000

  it('the links of a task are listed once each, in order, with their expiry', () => {
    const videos = [
      { url: ['https://a.test/1.mp4', 'https://b.test/1.mp4'], expires_at: 1_800_000_000 },
      { url: 'https://a.test/1.mp4', expires_at: 1_800_000_000 },
      { url: ['https://c.test/1.mp4'], expires_at: 1_800_000_001 },
    ]
    expect(linksOf({ videos })).toEqual([
      { url: 'https://a.test/1.mp4', expiresAt: at(1_800_000_000) },
      { url: 'https://b.test/1.mp4', expiresAt: at(1_800_000_000) },
      { url: 'https://c.test/1.mp4', expiresAt: at(1_800_000_001) },
    ])
  })

  it('a link without an expiry expires a day after the task completed, or a day from now if that is unknown', () => {
    const result = { videos: [{ url: 'https://a.test/1.mp4' }] }
    const expiring = (completed?: number) => linksOf(result, completed)?.[0]?.expiresAt
    expect(expiring(1_700_000_000)).toBe(at(1_700_086_400))
    expect(expiring()).toBe(NOW + 86_400_000)
  })

  it('a task without videos has no links', () => {
    expect(linksOf({ videos: [] })).toEqual([])
  })
})
