/**
 * Loaded before a program with `node --import`: when the program ends, writes its cost to the file named in
 * BENCH_METER. Plain JavaScript, because stripping types would add to the figures.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

const REQUEST_ON_THE_WIRE = 'undici:client:sendHeaders'
const STATUS = '/proc/self/status'
let firstLine = null
let firstRequest = null

const { write } = process.stdout
process.stdout.write = (text, ...others) => {
  // Commands to the runner are not log lines.
  if (!String(text).startsWith('::')) {
    firstLine = process.cpuUsage()
    process.stdout.write = write
  }
  return write.call(process.stdout, text, ...others)
}

subscribe(REQUEST_ON_THE_WIRE, function note() {
  firstRequest = process.cpuUsage()
  unsubscribe(REQUEST_ON_THE_WIRE, note)
})
process.on('exit', () => {
  const end = process.cpuUsage()
  const status = existsSync(STATUS) ? readFileSync(STATUS, 'utf8') : ''
  writeFileSync(process.env.BENCH_METER, JSON.stringify({ firstLine, firstRequest, end, status }))
})
