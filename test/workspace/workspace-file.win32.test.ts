/**
 * Windows paths, on any system that the test runs on.
 */
import { expect, it, vi } from 'vitest'

vi.mock('node:path', async (original) => (await original<typeof import('node:path')>()).win32)
const { isInGit, isStream, pathWithin } = await import('../../src/workspace/workspace-file.ts')

it.each([
  ['C:\\work', 'C:\\work\\assets\\b.png', 'assets/b.png'],
  ['C:\\work', 'c:\\WORK\\b.png', 'b.png'],
  ['C:\\work', 'C:\\work\\..b.png', '..b.png'],
  ['C:\\', 'C:\\b.png', 'b.png'],
  ['C:/work', 'C:\\work\\assets\\a b.png', 'assets/a b.png'],
  ['\\\\?\\C:\\work', '\\\\?\\C:\\work\\b.png', 'b.png'],
  ['\\\\host\\share', '\\\\host\\share\\b.png', 'b.png'],
  ['C:\\work', 'C:\\work', null],
  ['C:\\work', 'C:\\workshop\\b.png', null],
  ['C:\\work', 'C:\\work:stream', null],
  ['C:\\work', 'D:\\work\\b.png', null],
  ['C:\\work', 'D:b.png', null],
  ['C:\\work', '\\\\host\\share\\b.png', null],
])('on Windows, pathWithin of the folder %s and the path %s is %s', (root, path, inside) => {
  expect(pathWithin(root, path)).toBe(inside)
})

it.each(['.git/config', 'assets/.GIT/x.mp4'])('on Windows, %s is in the folder of Git', (path) => {
  expect(isInGit(path)).toBe(true)
})

it.each([
  ['assets/video.mp4:x', true],
  ['.git::$INDEX_ALLOCATION/video.mp4', true],
  ['assets/video.mp4', false],
])('on Windows, whether %s is a stream of a file is %s', (path, expected) => {
  expect(isStream(path)).toBe(expected)
})
