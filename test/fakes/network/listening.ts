import { once } from 'node:events'
import type { Server, Socket } from 'node:net'

/** A server on a free port of this machine. */
export interface Listening extends AsyncDisposable {
  readonly port: number
  /** The open connections. */
  readonly open: ReadonlySet<Socket>
  /** The number of connections so far. */
  readonly connections: number
}

/** Listens on a free port of `host`; disposal destroys all open connections. */
export async function listening(server: Server, host = '127.0.0.1'): Promise<Listening> {
  const open = new Set<Socket>()
  let connections = 0
  server.on('connection', (socket: Socket) => {
    connections++
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  server.listen(0, host)
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server is not listening')
  return {
    port: address.port,
    open,
    get connections() {
      return connections
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
