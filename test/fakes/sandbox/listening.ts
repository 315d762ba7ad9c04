import { once } from 'node:events'
import { createServer, type Server } from 'node:http'

/** A server on a free port of 127.0.0.1. */
export async function listening(): Promise<Server> {
  const server = createServer()
  server.on('clientError', (_error, socket) => socket.destroy())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

export function originOf(server: Server): string {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server is not listening')
  return `http://127.0.0.1:${address.port}`
}
