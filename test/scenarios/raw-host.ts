import { createServer, type Socket } from 'node:net'
import { listening } from '../fakes/network/listening.ts'

/** The parts of a request on which a response depends. */
export interface Asked {
  readonly method: string
  readonly path: string
  /** The first byte and the one after the last, if the request names them. */
  readonly range: readonly [start: number, end: number]
  /** The number of requests so far, including this one. */
  readonly number: number
}

/** The connection, for a response of any bytes. */
export interface Line {
  /** Waits until the bytes are accepted or the client disconnects. */
  write(bytes: string | Uint8Array): Promise<void>
  /** Writes the same bytes until the client disconnects. */
  forever(bytes: string | Uint8Array): Promise<void>
  end(): void
}

/** Responds to a request; the connection stays open afterwards. */
export type Answering = (line: Line, asked: Asked) => Promise<void>

/** A raw TCP server that can send what no HTTP server sends. */
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
    /** The number of bytes handed to the operating system. */
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

/** The head of a response. */
export const head = (status: string, ...headers: string[]) =>
  `HTTP/1.1 ${[status, ...headers].join('\r\n')}\r\n\r\n`
