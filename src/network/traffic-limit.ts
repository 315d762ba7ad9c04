/**
 * A limit on what a server may send besides the requested data. undici has none for status lines, interim responses,
 * chunk extensions, and the bodies of redirects and of errors that are retried; until a timeout ends them, a fast
 * connection delivers gigabytes.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Socket } from 'node:net'
import * as v from 'valibot'

/** More than is read of any response that is not a success. */
const EXCESS_MAX_BYTES = 2 * 2 ** 20

/** A server sent too much besides the response; the message is a clause for the user. */
export class TrafficLimitExceeded extends Error {
  /** undici does not retry after an error whose code it does not know. */
  readonly code = 'EXCESS'
}

interface Talk {
  readonly socket: Socket
  /** The number of bytes received up to the last chunk of requested data. */
  useful: number
  isSuccess: boolean
}

/** By connection, and by the request on it. */
const talks = new WeakMap<object, Talk>()

const request = v.custom<object>((value) => typeof value === 'object' && value !== null)
const sending = v.object({ request, socket: v.instance(Socket) })
const beginning = v.object({ request, response: v.object({ statusCode: v.number() }) })
const bringing = v.object({ request })

/** The events that undici publishes for every request (its page on diagnostics channels), and what each records. */
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
  // undici has listened since the connection was established, so it has already read what arrived.
  socket.on('readable', () => {
    if (socket.bytesRead - talk.useful <= EXCESS_MAX_BYTES) return
    socket.destroy(new TrafficLimitExceeded('the server keeps sending data that was not requested'))
  })
  return talk
}

/** Until disposed, closes connections of this process that receive over 2 MiB in a row without any requested data. */
export function limitTraffic(): Disposable {
  const listeners = Object.entries(LISTENERS)
  for (const [channel, listener] of listeners) subscribe(channel, listener)
  return {
    [Symbol.dispose]() {
      for (const [channel, listener] of listeners) unsubscribe(channel, listener)
    },
  }
}
