import { describe, expect, it } from 'vitest'
import { readError, readTaskId } from '../../src/apimart/parse.ts'

const ID = 'task_01J9HA7JPQ9A0Z6JZ3V8M9W6PZ'

describe('readTaskId', () => {
  it.each([
    ['the documented response', { code: 200, data: [{ status: 'submitted', task_id: ID }] }],
    ['an array with id', { code: 200, data: [{ status: 'submitted', id: ID }] }],
    ['an object with task_id', { code: 202, data: { task_id: ID } }],
    ['an object with id', { code: 202, data: { id: ID, status: 'submitted' } }],
    ['a task with both id and task_id', { data: [{ id: 'other', task_id: ID }] }],
    ['an empty task_id beside an id', { data: { task_id: '', id: ID } }],
    ['a null task_id beside an id', { data: [{ task_id: null, id: ID }] }],
    [
      'a response with further fields and tasks',
      { data: [{ task_id: ID, x: {} }, { task_id: 'second' }], message: 'success' },
    ],
    ['an id with white space around it', { data: [{ task_id: ` ${ID}\n` }] }],
    ['a response without a code', { data: { id: ID } }],
    ['a task_id at the top level', { code: 200, task_id: ID }],
  ])('readTaskId reads the id from %s', (_, body) => expect(readTaskId(JSON.stringify(body))).toBe(ID))

  it.each([
    ['an empty body', ''],
    ['HTML', '<html>502</html>'],
    ['half a response', '{"code":200,"data":[{"status":"submitted","task_id":"task_01'],
    ['null', 'null'],
    ['a bare id', JSON.stringify(ID)],
    ['null data', '{"data":null}'],
    ['data without a task', '{"data":[]}'],
    ['data that is a string', `{"data":"${ID}"}`],
    ['a task without an id', '{"data":[{"status":"submitted"}]}'],
    ['an empty id', '{"data":[{"task_id":""}]}'],
    ['an id of white space', '{"data":[{"task_id":"  "}]}'],
    ['an id with a line break', '{"data":[{"task_id":"task\\n::error::x"}]}'],
    ['an id with a direction mark', '{"data":[{"task_id":"task\\u202ex"}]}'],
    ['an id of 201 characters', JSON.stringify({ data: [{ task_id: 'x'.repeat(201) }] })],
    ['an error', '{"error":{"message":"no"}}'],
  ])('readTaskId finds no id in %s', (_, body) => expect(readTaskId(body)).toBeNull())
})

describe('readError', () => {
  it.each([
    [
      'the documented error',
      '{"error":{"code":402,"message":"Insufficient balance","type":"payment_required"}}',
      { code: '402', message: 'Insufficient balance', type: 'payment_required' },
    ],
    [
      'the error of the live API',
      '{"error":{"code":"","message":"invalid API key (request id: 2026)","param":"","type":"apimart_error"}}',
      { code: '', message: 'invalid API key (request id: 2026)', type: 'apimart_error' },
    ],
    ['an error with only a message', '{"error":{"message":"no"}}', { code: '', message: 'no', type: '' }],
    ['an error that is a string', '{"error":"no"}', { code: '', message: 'no', type: '' }],
    ['success: false', '{"success":false,"message":"no"}', { code: '', message: 'no', type: '' }],
    ['success: false without a message', '{"success":false}', { code: '', message: '', type: '' }],
    ['a bare message', '{"code":500,"message":"no"}', { code: '500', message: 'no', type: '' }],
  ])('readError reads %s', (_, body, read) => expect(readError(body)).toEqual(read))

  it.each(['', 'null', '[]', '"no"', '{}', '{"data":[]}', '{"error":null}', '<html>', '{"error":{"mess'])(
    'readError finds no error in %j',
    (body) => expect(readError(body)).toBeNull(),
  )
})

it.each([0, -1, 1.5, 2 ** 60])('the number %d is not a valid task id', (id) => {
  expect(readTaskId(JSON.stringify({ code: 200, data: { id } }))).toBeNull()
})
