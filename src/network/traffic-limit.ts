/**
 * A limit to what a server may send beside what was asked of it. undici has none for status lines, interim answers, the
 * extensions of chunks, and the bodies of redirects and of errors that are asked again; until a time limit ends them,
 * a fast line brings gigabytes.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Socket } from 'node:net'
import * as v from 'valibot'

/** More than is read of any answer that is no success. */
const EXCESS_MAX_BYTES = 2 * 2 ** 20

/** A server that sent too much beside the answer; the message is a clause for the user. */
export class TrafficLimitExceeded extends Error {
  /** An error with a code that it does not know is one that undici's retry leaves alone. */
  readonly code = 'EXCESS'
}

interface Talk {
  readonly socket: Socket
  /** How many bytes had come when a piece of what was asked for came last. */
  useful: number
  isSuccess: boolean
}

/** By connection, and by the request that is on it. */
const talks = new WeakMap<object, Talk>()

const request = v.custom<object>((value) => typeof value === 'object' && value !== null)
const sending = v.object({ request, socket: v.instance(Socket) })
const beginning = v.object({ request, response: v.object({ statusCode: v.number() }) })
const bringing = v.object({ request })

/** What undici tells of every request (its page on diagnostics channels), and what is noted of it. */
const LISTENERS = {
  'undici:client:sendHeaders': (message: unknown) => {
    if (!v.is(sending, message)) return
    const { socket } = message
    const talk = talks.get(socket) ?? watch(socket)
    talk.useful = socket.bytesRead
    talk.isSuccess = false
    talks.set(message.request, talk)
  },
  'undici:request:headers': (message: unknown) => {
    if (!v.is(beginning, message)) return
    const { statusCode } = message.response
    const talk = talks.get(message.request)
    if (talk) talk.isSuccess = statusCode >= 200 && statusCode < 300
  },
  'undici:request:bodyChunkReceived': (message: unknown) => {
    const talk = v.is(bringing, message) ? talks.get(message.request) : undefined
    if (talk?.isSuccess) talk.useful = talk.socket.bytesRead
  },
}

function watch(socket: Socket): Talk {
  const talk: Talk = { socket, useful: 0, isSuccess: false }
  talks.set(socket, talk)
  // undici listens since the connection stands, so it has read by now what came.
  socket.on('readable', () => {
    if (socket.bytesRead - talk.useful <= EXCESS_MAX_BYTES) return
    socket.destroy(new TrafficLimitExceeded('the server keeps sending data that was not requested'))
  })
  return talk
}

/** Ends connections of this process over which more than 2 MiB come in a row that bring nothing of what was asked for, until disposed. */
export function limitTraffic(): Disposable {
  const listeners = Object.entries(LISTENERS)
  for (const [channel, listener] of listeners) subscribe(channel, listener)
  return {
    [Symbol.dispose]() {
      for (const [channel, listener] of listeners) unsubscribe(channel, listener)
    },
  }
}
