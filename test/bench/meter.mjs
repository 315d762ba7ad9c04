/**
 * Loaded before a program by `node --import`: when the program ends, writes what it has cost to the file that
 * BENCH_METER names. Plain JavaScript, because stripping types would add to the very figures.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

const REQUEST_ON_THE_WIRE = 'undici:client:sendHeaders'
const STATUS = '/proc/self/status'
let firstLine = null
let firstRequest = null

const { write } = process.stdout
process.stdout.write = (text, ...others) => {
  // Lines for the runner are no lines of the log.
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
