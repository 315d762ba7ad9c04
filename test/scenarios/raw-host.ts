import { createServer, type Socket } from 'node:net'
import { listening } from '../fakes/network/listening.ts'

/** A request, as far as an answer depends on it. */
export interface Asked {
  readonly method: string
  readonly path: string
  /** First byte and the one after the last, as far as they are named. */
  readonly range: readonly [start: number, end: number]
  /** How many requests there have been, this one included. */
  readonly number: number
}

/** The connection, for an answer in whatever bytes. */
export interface Line {
  /** Waits until the bytes have been taken, or the client has left. */
  write(bytes: string | Uint8Array): Promise<void>
  /** Writes the same until the client leaves. */
  forever(bytes: string | Uint8Array): Promise<void>
  end(): void
}

/** How a request is answered; the connection stays open after it. */
export type Answering = (line: Line, asked: Asked) => Promise<void>

/** A server that speaks no HTTP of its own, so that it can answer what no server answers. */
export async function startRawHost(answering: Answering) {
  const requests: Asked[] = []
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    let arrived = Buffer.alloc(0)
    socket.on('data', (bytes: Buffer) => {
      arrived = Buffer.concat([arrived, bytes])
      const end = arrived.indexOf('\r\n\r\n') + 4
      const head = arrived.toString('latin1', 0, end)
      const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0)
      if (end < 4 || arrived.length < end + length) return
      arrived = arrived.subarray(end + length)
      const [method = '', path = ''] = head.split(' ')
      const [, start = 0, last = Infinity] = /^range: bytes=(\d+)-(\d+)/im.exec(head) ?? []
      const range = [Number(start), Number(last) + 1] as const
      const asked = { method, path, range, number: requests.length + 1 }
      requests.push(asked)
      void answering(lineOf(socket), asked)
    })
  })
  const host = await listening(server)
  return {
    origin: `http://127.0.0.1:${host.port}`,
    requests,
    /** Bytes that were handed to the operating system. */
    sent: () => sockets.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0),
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  }
}

function lineOf(socket: Socket): Line {
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const write = async (bytes: string | Uint8Array) => {
    if (socket.destroyed || socket.write(bytes)) return
    await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed])
  }
  return {
    write,
    async forever(bytes) {
      while (!socket.destroyed) await write(bytes)
    },
    end: () => socket.end(),
  }
}

/** The head of an answer. */
export const head = (status: string, ...headers: string[]) =>
  `HTTP/1.1 ${[status, ...headers].join('\r\n')}\r\n\r\n`
